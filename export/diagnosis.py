"""What kind of defect an export has, from which requests it answered, and how. Pure.

A name is worth more than a figure: a frozen axis is mended in the export's call, a frozen loop by scripting, wrong
values by looking for weights that were not loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from contract.compare import Parity, Tolerance, compare
from contract.golden import Example
from contract.tensors import Tensors, TensorSpec
from export.edges import PADDED
from export.opened import Outcome, Port

MOST_OUTPUTS = 5  # of which every order is tried
NEAR = 30.0  # times the tolerance; a choice that was frozen, or other weights, are further off


@dataclass(frozen=True)
class Diagnosis:
    """The kind of defect, and a sentence with the evidence."""

    name: str
    sentence: str


def diagnose(
    outcomes: Sequence[Outcome], tolerance: Tolerance, specs: list[TensorSpec], traced_key: str
) -> Diagnosis | None:
    """Name the defect, or None when every answer is right."""
    judged = [(outcome, _judge(outcome, tolerance)) for outcome in outcomes]
    wrong = [outcome for outcome, parity in judged if parity is None or not parity.passed]
    if not wrong:
        return None
    right = [outcome for outcome, parity in judged if parity is not None and parity.passed]
    reasons = [reason for _, parity in judged if parity for reason in parity.reasons]
    other = next((outcome for outcome in wrong if outcome.other_outputs), None)
    if other:
        return Diagnosis("wrong signature", other.error or "")
    swapped = _swapped(outcomes, tolerance)
    if swapped:
        return Diagnosis("swapped outputs", swapped)
    for name, mark in (("wrong dtype", "dtype of "), ("not a number", "NaN in "), ("not a number", "Inf in ")):
        found = next((reason for reason in reasons if mark in reason), None)
        if found:
            return Diagnosis(name, found)
    traced = any(outcome.example.key == traced_key for outcome in right)
    frozen = _frozen_axes(right, wrong, specs) if traced else []
    if frozen:
        return Diagnosis("frozen dimension", f"it is right only where {' and '.join(frozen)}; {_first(wrong, reasons)}")
    refused = next((outcome for outcome in wrong if outcome.error), None)
    if refused:
        return Diagnosis("refused request", f"{refused.example.key}: {refused.error}")
    shape = next((reason for reason in reasons if "shape of " in reason), None)
    if shape:
        return Diagnosis("wrong shape", shape)
    return _wrong_values(right, wrong, len(outcomes), reasons[0], tolerance, traced_key if traced else None)


def _wrong_values(
    right: Sequence[Outcome],
    wrong: Sequence[Outcome],
    asked: int,
    reason: str,
    tolerance: Tolerance,
    traced: str | None,
) -> Diagnosis:
    """Answers of the right form: a little off, wrong for one value of an input, frozen, or simply wrong."""
    excess = max(_excess(outcome, tolerance) for outcome in wrong)
    if excess < NEAR:
        return Diagnosis(
            "imprecise arithmetic",
            f"the furthest element is off {excess:.1f} times what the tolerance allows, which another order of "
            f"additions can do; set atol and rtol in models.toml if the task bears it; {reason}",
        )
    common = _common_value(right, wrong)
    if common:
        return Diagnosis("wrong values", f"only where {common}: a weight that belongs to it is wrong; {reason}")
    if traced:
        return Diagnosis(
            "frozen control flow",
            f"it agrees on the traced request {traced} and differs on {len(wrong)} of {asked}, so a choice that "
            f"depends on the data became a constant; {reason}",
        )
    return Diagnosis("wrong values", reason)


def _common_value(right: Sequence[Outcome], wrong: Sequence[Outcome]) -> str | None:
    """A whole number that every wrong request holds in one of its inputs, and no right one."""
    if len(wrong) < 2 or not right:
        return None
    for name, array in wrong[0].example.inputs.items():
        if array.dtype.kind in "iu":
            held = set.intersection(*(set(outcome.example.inputs[name].flat) for outcome in wrong))
            held -= set().union(*(outcome.example.inputs[name].flat for outcome in right))
            if held:
                return f"'{name}' holds {min(held)}"
    return None


def _excess(outcome: Outcome, tolerance: Tolerance) -> float:
    """The largest |answer - reference| of a request, in units of what the tolerance allows for that element."""
    worst = 0.0
    for name, reference in outcome.example.outputs.items():
        answer = None if outcome.answer is None else outcome.answer.get(name)
        if answer is None:
            return math.inf
        if reference.dtype.kind != "f":
            if not np.array_equal(reference, answer):
                return math.inf
            continue
        wanted, given = reference.astype(np.float64), answer.astype(np.float64)
        same = (wanted == given) | (np.isnan(wanted) & np.isnan(given))
        allowed = tolerance.atol + tolerance.rtol * np.abs(wanted)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(same, 0.0, np.abs(given - wanted) / allowed)
        worst = max(worst, float(np.where(np.isnan(ratio), math.inf, ratio).max(initial=0.0)))
    return worst


def _judge(outcome: Outcome, tolerance: Tolerance) -> Parity | None:
    if outcome.answer is None:
        return None
    values = Tolerance(tolerance.atol, tolerance.rtol)
    return compare([(outcome.example.key, outcome.example.outputs, outcome.answer)], values)


def _first(wrong: Sequence[Outcome], reasons: list[str]) -> str:
    error = next((f"{outcome.example.key}: {outcome.error}" for outcome in wrong if outcome.error), None)
    return error or reasons[0]


def _frozen_axes(right: Sequence[Outcome], wrong: Sequence[Outcome], specs: list[TensorSpec]) -> list[str]:
    """Dynamic axes of which every request that was answered rightly has one size, and no other request has it.

    Padded requests are no evidence: what is right for the first seven words is right for seven and their padding.
    """
    right, wrong = ([item for item in part if not item.example.key.startswith(PADDED)] for part in (right, wrong))
    if not right or not wrong:
        return []
    found = []
    for dim in sorted({dim for spec in specs for dim in spec.dims if isinstance(dim, str)}):
        good = {_size(outcome.example, specs, dim) for outcome in right}
        bad = {_size(outcome.example, specs, dim) for outcome in wrong}
        if len(good) == 1 and not good & bad:
            found.append(f"'{dim}' is {good.pop()}")
    return found


def _size(example: Example, specs: list[TensorSpec], dim: str) -> int:
    return next(example.inputs[spec.name].shape[spec.dims.index(dim)] for spec in specs if dim in spec.dims)


def _swapped(outcomes: Sequence[Outcome], tolerance: Tolerance) -> str | None:
    """Whether another order of the outputs would make every answer right."""
    names = list(outcomes[0].example.outputs)
    if not 1 < len(names) <= MOST_OUTPUTS:
        return None
    values = Tolerance(tolerance.atol, tolerance.rtol)
    for order in permutations(names):
        if list(order) != names and _all_right(
            outcomes,
            values,
            lambda answer, order=order: {  # type: ignore[misc]
                name: answer[other] for name, other in zip(names, order, strict=True)
            },
        ):
            moved = [
                f"'{other}' stands in the place of '{name}'"
                for name, other in zip(names, order, strict=True)
                if name != other
            ]
            return f"{', '.join(moved)}: in that order every answer is right"
    return None


def _all_right(outcomes: Sequence[Outcome], tolerance: Tolerance, reorder: Callable[[Tensors], Tensors]) -> bool:
    pairs = [
        (outcome.example.key, outcome.example.outputs, reorder(outcome.answer))
        for outcome in outcomes
        if outcome.answer is not None and outcome.example.outputs.keys() <= outcome.answer.keys()
    ]
    return len(pairs) == len(outcomes) and compare(pairs, tolerance).passed


def wrong_signature(declared: list[TensorSpec], ports: Sequence[Port], side: str) -> Diagnosis | None:
    """What of the signature that is really in the artifact is not what was declared."""
    by_name = {port.name: port for port in ports}
    wanted, found = sorted(spec.name for spec in declared), sorted(by_name)
    if wanted != found:
        return Diagnosis(
            "wrong signature", f"the artifact's {side} are {', '.join(found)}, declared are {', '.join(wanted)}"
        )
    for spec in declared:
        port = by_name[spec.name]
        if port.dtype is not None and port.dtype != spec.dtype:
            return Diagnosis(
                "wrong dtype", f"dtype of '{spec.name}' in the artifact is {port.dtype}, expected {spec.dtype}"
            )
        if port.dims is None:
            continue
        if len(port.dims) != len(spec.dims):
            return Diagnosis(
                "wrong signature",
                f"'{spec.name}' has {len(port.dims)} axes in the artifact, declared are {len(spec.dims)}",
            )
        for axis, (dim, size) in enumerate(zip(spec.dims, port.dims, strict=True)):
            if isinstance(dim, str) and size is not None:
                return Diagnosis(
                    "frozen dimension",
                    f"axis {axis} of '{spec.name}' is {size} in the artifact, '{dim}' should be dynamic",
                )
            if isinstance(dim, int) and size not in (None, dim):
                return Diagnosis(
                    "wrong signature", f"axis {axis} of '{spec.name}' is {size} in the artifact, declared is {dim}"
                )
    return None
