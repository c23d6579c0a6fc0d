"""Text to token ids: lower-cased words, 0 for padding, 1 for unknown words and empty texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from contract.errors import UsageError
from contract.files import read_model

PADDING, UNKNOWN = 0, 1
SIZE = 8000  # rows of every embedding, so that a factory can build its network without being told
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[!?]")
Tokens = NDArray[np.int64]


class VocabularyFile(BaseModel):
    """vocabulary.json: the words in the order of their ids, the first word being id 2."""

    schema_version: int
    words: list[str]


@dataclass(frozen=True)
class Vocabulary:
    """Word to id."""

    ids: dict[str, int]

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; at least one, so that a mean over them exists."""
        return [self.ids.get(word, UNKNOWN) for word in WORD.findall(text.lower())] or [UNKNOWN]

    @property
    def words(self) -> list[str]:
        """One word per row of an embedding."""
        return ["(padding)", "(unknown)", *self.ids]

    @property
    def document(self) -> VocabularyFile:
        """What vocabulary.json holds."""
        return VocabularyFile(schema_version=1, words=list(self.ids))


def learn(texts: Iterable[str]) -> Vocabulary:
    """Keep the most frequent words of the training texts, as many as an embedding has rows for."""
    counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
    kept = sorted(counts, key=lambda word: (-counts[word], word))[: SIZE - 2]
    if len(kept) < SIZE - 2:
        raise UsageError(f"the texts have {len(kept)} words, the embeddings want {SIZE - 2}")
    return Vocabulary({word: index for index, word in enumerate(kept, 2)})


def read_vocabulary(path: Path) -> Vocabulary:
    """Read vocabulary.json."""
    words = read_model(path, VocabularyFile, "make zoo").words
    return Vocabulary({word: index for index, word in enumerate(words, 2)})


def pad(rows: Sequence[Sequence[int]], length: int | None = None) -> Tokens:
    """Return [len(rows), length] int64, filled up with padding to ``length`` or to the longest row; the rest is cut."""
    width = length or max(map(len, rows))
    tokens = np.full((len(rows), width), PADDING, dtype=np.int64)
    for row, ids in zip(tokens, rows, strict=True):
        row[: min(len(ids), width)] = ids[:width]
    return tokens
