"""What the trained model's own answers are worth as the reference of a proof. Pure.

An answer that is not a number agrees with every other such answer, and one below the absolute tolerance with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contract.errors import UsageError
from contract.golden import Example
from contract.tensors import Array, Tensors

SMALL = 10.0  # times atol: below that the tolerance forgives a tenth of the largest element, or more
FINER = 1000.0  # the share of the largest element that is forgiven by the atol which is proposed


def check_numbers(golden: Sequence[Example]) -> None:
    """Raise UsageError where no answer of the trained model holds a finite number in any of its float outputs."""
    floats = [array for example in golden for array in example.outputs.values() if array.dtype.kind == "f"]
    if floats and not any(np.isfinite(array).any() for array in floats):
        raise UsageError(
            f"the trained model answers NaN or Inf to all of its {len(golden)} examples, with which every broken "
            "export would agree; look at its weights, or bring examples that it was trained for"
        )


def small(answers: Sequence[Tensors], atol: float) -> list[str]:
    """A sentence for each float output whose elements all lie where ``atol`` forgives a tenth of them, or more."""
    return [
        f"'{name}' is at most {largest:.1e} in all answers, of which atol = {atol:g} forgives {_share(atol, largest)}; "
        "set a smaller atol in models.toml" + (f", such as {largest / FINER:.0e}" if largest else "")
        for name, largest in _largest(answers).items()
        if largest < SMALL * atol
    ]


def hidden(answers: Sequence[Tensors], atol: float) -> set[str]:
    """The float outputs of which ``atol`` forgives everything: an answer of zeros would pass."""
    return {name for name, largest in _largest(answers).items() if largest < atol}


def _share(atol: float, largest: float) -> str:
    return "everything" if largest < atol else f"{atol / largest:.0%}"


def _largest(answers: Sequence[Tensors]) -> dict[str, float]:
    """By name, the largest finite magnitude of an output; one without any finite element has none."""
    largest: dict[str, float] = {}
    for answer in answers:
        for name, array in answer.items():
            finite = _finite(array)
            if finite.size:
                largest[name] = max(largest.get(name, 0.0), float(np.abs(finite).max()))
    return largest


def _finite(array: Array) -> Array:
    return array[np.isfinite(array)].astype(np.float64) if array.dtype.kind == "f" else np.empty(0)
