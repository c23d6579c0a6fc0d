"""Made-up examples of a model that comes without real ones, and the ranges that they are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contract.errors import UsageError
from contract.golden import Example, synthesize
from contract.tensors import TensorSpec

EXAMPLES = 48
SEED = 11


def made_up(inputs: list[TensorSpec]) -> list[Example]:
    """Requests of many batch sizes and lengths, the same ones every time."""
    return synthesize(inputs, EXAMPLES, SEED)


def check_ranges(inputs: Sequence[TensorSpec]) -> None:
    """Raise UsageError for a range that whole numbers of an input's dtype cannot be drawn from."""
    for spec in inputs:
        if spec.range is None or not _whole(spec):
            continue
        low, high = spec.range
        limits = np.iinfo(spec.dtype)
        if low % 1 or high % 1:
            raise UsageError(
                f"range of '{spec.name}' is [{low:g}, {high:g}), and {spec.dtype} takes whole numbers; "
                "say two of them, such as [0, 1000), of which the second is not drawn"
            )
        if low < limits.min or high > limits.max + 1:
            raise UsageError(
                f"range of '{spec.name}' is [{low:.0f}, {high:.0f}), and {spec.dtype} goes from {limits.min} to "
                f"{limits.max}; correct the range or the dtype"
            )


def without_range(inputs: Sequence[TensorSpec]) -> list[str]:
    """A sentence about inputs of whole numbers of which nobody said what they range over."""
    names = [f"'{spec.name}'" for spec in inputs if _whole(spec) and spec.range is None]
    if not names:
        return []
    return [f"made-up examples of {', '.join(names)} are drawn from 0 and 1 alone: set its range, or bring examples"]


def _whole(spec: TensorSpec) -> bool:
    return "int" in spec.dtype
