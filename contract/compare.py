"""compare(): the one judgement of "the same answer", used after export, at the endpoint and on sampled answers.

An element agrees when ``|answer - reference| <= atol + rtol * |reference|`` (numpy's allclose rule, which is defined at
reference zero). NaN or Inf where the reference is finite, another shape, another dtype, a missing output: each fails
by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contract.tensors import Array, Tensors, dtype_of


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may be from the trained model's: ``atol + rtol * |reference|``, and equal classes at least."""

    atol: float
    rtol: float
    agreement: float = 0.0


class Worst(BaseModel):
    """The element that is furthest from the trained model's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: str = Field(description="key of the request")
    output: str = Field(description="name of the output")
    index: list[int] = Field(description="of the element in that output")
    difference: float = Field(description="|answer - reference|")
    sha256: str | None = Field(None, description="of the request's inputs")
    answer: float | None = Field(None, description="only with `--include-payloads`")
    reference: float | None = Field(None, description="only with `--include-payloads`")


class Parity(BaseModel):
    """How a set of answers compares with the trained model's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passed: bool = Field(description="every element of every output within tolerance, nothing missing")
    max_abs: float | None = Field(description="largest |answer - reference|; null when nothing could be compared")
    max_rel: float | None = Field(description="largest |answer - reference| / |reference| where the reference is not 0")
    agreement: float | None = Field(
        description="share of rows whose predicted class (argmax of the last axis) agrees; null without classes"
    )
    requests: int = Field(description="how many requests were compared")
    reasons: list[str] = Field(default_factory=list, description="why it failed, first ones only")
    worst: Worst | None = Field(None, description="the element furthest off; null when every element is equal")


MOST_REASONS = 5


def compare(pairs: Iterable[tuple[str, Tensors, Tensors]], tolerance: Tolerance) -> Parity:
    """Compare answers with references: ``pairs`` yields (request key, reference outputs, answered outputs)."""
    reasons: list[str] = []
    failed = False
    max_abs: float | None = None
    max_rel: float | None = None
    worst: Worst | None = None
    rows = agreed = requests = 0
    for key, reference, answer in pairs:
        requests += 1
        if not reference:
            failed = True
            reasons.append(f"{key}: there are no reference outputs to compare with")
        for name, expected in reference.items():
            outcome = _compare_output(name, expected, answer.get(name), tolerance)
            if outcome.index and outcome.max_abs and outcome.max_abs > (worst.difference if worst else 0.0):
                worst = Worst(request=key, output=name, index=list(outcome.index), difference=outcome.max_abs)
            max_abs = _larger(max_abs, outcome.max_abs)
            max_rel = _larger(max_rel, outcome.max_rel)
            rows += outcome.rows
            agreed += outcome.agreed
            if outcome.reason:
                failed = True
                if len(reasons) < MOST_REASONS:
                    reasons.append(f"{key}: {outcome.reason}")
        extra = sorted(set(answer) - set(reference))
        if extra:
            failed = True
            reasons.append(f"{key}: unexpected output {', '.join(extra)}")
    if requests == 0:
        return Parity(
            passed=False, max_abs=None, max_rel=None, agreement=None, requests=0, reasons=["nothing was compared"]
        )
    agreement = agreed / rows if rows else None
    if agreement is not None and agreement < tolerance.agreement:
        failed = True
        reasons.insert(0, f"{agreement:.2%} of the classes are equal, needed are {tolerance.agreement:.2%}")
    return Parity(
        passed=not failed,
        max_abs=max_abs,
        max_rel=max_rel,
        agreement=agreement,
        requests=requests,
        reasons=reasons[:MOST_REASONS],
        worst=worst,
    )


@dataclass(frozen=True)
class _Outcome:
    reason: str | None
    max_abs: float | None = None
    max_rel: float | None = None
    rows: int = 0
    agreed: int = 0
    index: tuple[int, ...] | None = None  # of the largest finite difference


def _compare_output(name: str, expected: Array, actual: Array | None, tolerance: Tolerance) -> _Outcome:
    if actual is None:
        return _Outcome(f"output '{name}' is missing")
    if dtype_of(actual) != dtype_of(expected):
        return _Outcome(f"dtype of '{name}' is {dtype_of(actual)}, expected {dtype_of(expected)}")
    if actual.shape != expected.shape:
        return _Outcome(f"shape of '{name}' is {list(actual.shape)}, expected {list(expected.shape)}")
    if expected.dtype.kind != "f":
        different = int(np.sum(actual != expected))
        reason = f"'{name}' differs in {different} of {expected.size} elements" if different else None
        return _Outcome(reason)
    return _compare_floats(name, expected.astype(np.float64), actual.astype(np.float64), tolerance)


def _compare_floats(name: str, expected: Array, actual: Array, tolerance: Tolerance) -> _Outcome:
    rows, agreed = _agreement(expected, actual)
    for label, test in (("NaN", np.isnan), ("Inf", np.isinf)):
        new = int(np.sum(test(actual) & np.isfinite(expected)))
        if new:
            return _Outcome(
                f"{label} in {new} elements of '{name}' where the trained model is finite", None, None, rows, agreed
            )
    same = (np.isnan(expected) & np.isnan(actual)) | (expected == actual)
    magnitude = np.abs(expected)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        difference = np.where(same, 0.0, np.abs(actual - expected))
        allowed = tolerance.atol + tolerance.rtol * np.where(np.isfinite(magnitude), magnitude, 0.0)
        relative = difference / magnitude
    max_abs = _largest_finite(difference)
    max_rel = _largest_finite(relative[(magnitude > 0) & np.isfinite(magnitude)])
    # A NaN that the reference has and the answer lacks leaves NaN in `difference`: not (<=) counts it as outside.
    outside = int(np.sum(~(difference <= allowed)))
    reason = None
    if outside:
        largest = "unbounded" if max_abs is None else f"{max_abs:.3g}"
        reason = (
            f"'{name}' is out of tolerance in {outside} of {expected.size} elements "
            f"(max |difference| {largest}, atol {tolerance.atol:g}, rtol {tolerance.rtol:g})"
        )
    index = None
    if max_abs is not None and difference.ndim and difference.size:
        furthest = np.where(np.isfinite(difference), difference, -1.0).argmax()
        index = tuple(int(axis) for axis in np.unravel_index(furthest, difference.shape))
    return _Outcome(reason, max_abs, max_rel, rows, agreed, index)


def _largest_finite(values: Array) -> float | None:
    """The largest finite value: what is not finite fails by name and has no place in a JSON document."""
    finite = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0
    return float(finite.max()) if finite.size else None


def _agreement(expected: Array, actual: Array) -> tuple[int, int]:
    if expected.ndim < 2 or expected.shape[-1] < 2 or expected.size == 0:
        return 0, 0
    same = np.argmax(expected, axis=-1) == np.argmax(actual, axis=-1)
    second, first = np.moveaxis(np.partition(expected, -2, axis=-1)[..., -2:], -1, 0)
    decided = ~(first == second)  # equal scores are no decision that an answer could miss
    return int(decided.sum()), int((same & decided).sum())


def _larger(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return right if left is None else left
    return max(left, right)
