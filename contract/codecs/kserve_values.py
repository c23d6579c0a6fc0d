"""Numbers of an answer, as the KServe v2 protocol may write them, into the dtype and shape that the answer states."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from contract.tensors import DTYPES, Array

# dtype's kind -> kinds of values that are taken for it: 1 for a float, but 1.0 for no integer and 1 for no bool
FITTING = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}


def numbers(values: Any, dtype: str, shape: tuple[int, ...]) -> Array:
    """``values`` as an array of ``shape``: flat in row-major order, or nested just so.

    Raises ValueError for values that are no ``dtype`` or do not fit into it, and for a shape that they have not.
    """
    raw = np.asarray(values)
    target = np.dtype(DTYPES[dtype].numpy)
    if raw.size and raw.dtype.kind not in FITTING[target.kind]:
        raise ValueError(f"there are values that are no {dtype}")
    if raw.size and target.kind in "iu":
        limits = np.iinfo(target)
        if raw.min() < limits.min or raw.max() > limits.max:  # they would wrap around
            raise ValueError(f"{raw.min()} to {raw.max()} do not fit {dtype}")
    with np.errstate(over="ignore"):  # a float that is too large becomes inf, and no right answer
        return shaped(raw.astype(target), shape)


def shaped(values: Array, shape: tuple[int, ...]) -> Array:
    """Flat or nested values in the shape that is stated. Raises ValueError where they have another."""
    count = math.prod(shape)
    if any(size < 0 for size in shape) or values.size != count:
        raise ValueError(f"{values.size} values are not of shape {list(shape)}")
    if count and values.ndim > 1 and values.shape != shape:
        raise ValueError(f"values of shape {list(values.shape)} are said to be of shape {list(shape)}")
    return values.reshape(shape)
