"""A lesson: everything that a model is taught from, measured with and shown on, in arrays that need no framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from contract.golden import Example
from contract.tensors import Array, Tensors
from zoo.fetch import Archive

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Inputs by name, one row per case, and the right class of each."""

    inputs: Tensors
    labels: Labels

    @property
    def only(self) -> Array:
        """The input of a model that has one."""
        (array,) = self.inputs.values()
        return array

    def head(self, count: int) -> Rows:
        """The first rows."""
        return Rows({name: array[:count] for name, array in self.inputs.items()}, self.labels[:count])


@dataclass(frozen=True)
class Lesson:
    """The three parts of the data, examples of requests, and what a person wants to see of the test part."""

    about: str  # one sentence
    classes: Sequence[str]
    train: Rows
    validation: Rows
    test: Rows
    examples: list[Example]
    proof_rows: int  # test rows that go into validation.npz; 0 where an answer is no class
    data_sha256: str
    documents: dict[str, BaseModel]  # files that a client needs, by name
    padding: int | None = None  # what fills rows of tokens up to one length; None where rows have no length
    words: Sequence[str] = field(default_factory=list)  # of the embedding's rows
    texts: Sequence[str] = field(default_factory=list)  # of the test rows
    images: Array | None = None  # of the test rows, uint8
    pretrained: Path | None = None  # the archive that holds the weights, where there is nothing to learn

    @property
    def majority_baseline(self) -> float:
        """Accuracy on the test part of always answering its most frequent class."""
        return float(np.bincount(self.test.labels).max() / len(self.test.labels))


class Subject(Protocol):
    """Where lessons come from: a task and how its data become a model's inputs."""

    @property
    def archives(self) -> list[Archive]:
        """What has to be fetched for it."""

    def lesson(self, cache: Path) -> Lesson:
        """Read the archives, fetching what is missing."""
