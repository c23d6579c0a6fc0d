"""The task of the image models: which digit was written?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.table import load
from zoo import digits
from zoo.digits import Digit
from zoo.examples import keyed, requests
from zoo.fetch import Archive, fetch
from zoo.lesson import Lesson, Rows
from zoo.preprocessing import Preprocessing
from zoo.split import split

ABOUT = "Handwritten digits: 5,000 of MNIST (LeCun, Cortes and Burges)."


@dataclass(frozen=True)
class Digits:
    """Handwritten digits as pixels, prepared by the framework that is named ("module:function")."""

    prepare: str
    preprocessing: Preprocessing
    proof_rows: int = 400

    @property
    def archives(self) -> list[Archive]:
        return [digits.ARCHIVE]

    def lesson(self, cache: Path) -> Lesson:
        parts = split(digits.read_digits(fetch(digits.ARCHIVE, cache)), digits.SPLIT_SEED)
        test = self._rows(parts["test"])
        return Lesson(
            about=ABOUT,
            classes=digits.CLASSES,
            train=self._rows(parts["train"]),
            validation=self._rows(parts["validation"]),
            test=test,
            examples=keyed([{"pixels": test.only[taken]} for taken in requests(len(test.labels))]),
            proof_rows=self.proof_rows,
            data_sha256=digits.ARCHIVE.sha256,
            documents={"preprocessing.json": self.preprocessing},
            images=np.stack([digit.image for digit in parts["test"]]),
        )

    def _rows(self, part: list[Digit]) -> Rows:
        images = np.stack([digit.image for digit in part])
        labels = np.array([digit.label for digit in part], dtype=np.int64)
        return Rows({"pixels": load(self.prepare)(self.preprocessing, images)}, labels)
