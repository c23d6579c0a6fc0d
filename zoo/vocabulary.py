"""Text to token ids: lower-cased words, 0 for padding, 1 for unknown words and empty texts."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from contract.files import read_model, write_json
from zoo.data import Sentence

PADDING, UNKNOWN = 0, 1
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[!?]")
Tokens = NDArray[np.int64]


class VocabularyFile(BaseModel):
    """vocabulary.json: the words in the order of their ids, the first word being id 2."""

    schema_version: int
    words: list[str]


@dataclass(frozen=True)
class Vocabulary:
    """Word to id. `size` counts padding and unknown, so it is the embedding's number of rows."""

    ids: dict[str, int]

    @property
    def size(self) -> int:
        return len(self.ids) + 2

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; at least one, so that a mean over them exists."""
        return [self.ids.get(word, UNKNOWN) for word in WORD.findall(text.lower())] or [UNKNOWN]

    def batch(self, texts: list[str], length: int | None = None) -> Tokens:
        """Return [len(texts), length] int64, padded with 0 to ``length`` or to the longest text."""
        rows = [self.encode(text) for text in texts]
        width = length or max(map(len, rows))
        tokens = np.full((len(rows), width), PADDING, dtype=np.int64)
        for row, ids in zip(tokens, rows, strict=True):
            row[: min(len(ids), width)] = ids[:width]
        return tokens

    def write(self, path: Path) -> None:
        write_json(path, VocabularyFile(schema_version=1, words=list(self.ids)))


def learn(sentences: list[Sentence], least: int = 2) -> Vocabulary:
    """Keep the words that occur at least ``least`` times in the training sentences, the frequent ones first."""
    counts = Counter(word for sentence in sentences for word in WORD.findall(sentence.text.lower()))
    kept = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return Vocabulary({word: index + 2 for index, word in enumerate(kept)})


def read_vocabulary(path: Path) -> Vocabulary:
    """Read vocabulary.json."""
    words = read_model(path, VocabularyFile, "make zoo").words
    return Vocabulary({word: index + 2 for index, word in enumerate(words)})
