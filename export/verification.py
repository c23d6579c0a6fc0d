"""Prove one artifact: its signature, the golden batch, singles against batches, padding, extremes, decisions.

Every check runs whatever an earlier one found, so that a report shows all that is wrong; the diagnosis names the kind
of defect from the requests that were answered and those that were not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from contract.compare import Parity, Tolerance, compare
from contract.golden import Example
from contract.manifest import Check, Decisions, Entry
from contract.tensors import Tensors, TensorSpec, to_bytes
from contract.validation import Validation
from export.answers import hidden, small
from export.diagnosis import Diagnosis, diagnose, wrong_signature
from export.edges import PADDED
from export.opened import Opened, Outcome, ask
from export.refused import first_words
from export.trained import traced

BATCHES_TO_SPLIT = 3
MOST_REASONS = 3
LEAST_AGREEMENT = 0.99


class Proof(Entry):
    """Everything that the verification of an artifact found; `<format>.proof.json` while the export runs."""

    passed: bool = Field(description="every check held")
    diagnosis: str | None = Field(description="the kind of defect; null when every check held")
    sentence: str | None = Field(description="the diagnosis with its evidence")
    checks: list[Check] = Field(description="in the order in which they were made")
    parity: Parity | None = Field(description="over the golden batch")
    decisions: Decisions | None = Field(description="on labelled inputs")
    facts: dict[str, int | str] = Field(description="of the file")


@dataclass(frozen=True)
class Suite:
    """What an artifact is asked, with the trained model's own answers."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    golden: list[Example]
    edges: list[Example]
    validation: Validation | None
    batch_invariant: bool
    tolerance: Tolerance


def unreadable(error: Exception) -> Proof:
    """The proof of an artifact that its runtime could not open."""
    sentence = first_words(error)
    check = Check(name="signature", passed=False, detail=f"it cannot be opened: {sentence}")
    return Proof(
        passed=False,
        diagnosis="unreadable file",
        sentence=sentence,
        checks=[check],
        parity=None,
        decisions=None,
        facts={},
    )


def verify(opened: Opened, suite: Suite, include_payloads: bool = False) -> Proof:
    """Run every check. ``include_payloads`` keeps the values of the worst element beside its index."""
    found = wrong_signature(suite.inputs, opened.inputs, "inputs") or wrong_signature(
        suite.outputs, opened.outputs, "outputs"
    )
    checks = [_signature(suite, found)]
    outcomes = ask(opened, suite.golden)
    parity = _parity(outcomes, suite, include_payloads)
    judged_by_values = not suite.tolerance.agreement
    notes = small([example.outputs for example in suite.golden], suite.tolerance.atol) if judged_by_values else []
    checks.append(Check(name="golden", passed=parity.passed, detail="; ".join([_figures(parity), *notes])))
    checks += _classes(outcomes, suite)
    edges = ask(opened, suite.edges)
    for name, part in (
        ("padding invariance", [o for o in edges if o.example.key.startswith(PADDED)]),
        ("extreme values", [o for o in edges if not o.example.key.startswith(PADDED)]),
    ):
        if part:
            verdict = _parity(part, suite, False)
            checks.append(Check(name=name, passed=verdict.passed, detail=_figures(verdict)))
    rows: list[Outcome] = []
    if suite.batch_invariant and batches([*suite.golden, *suite.edges]):
        split_parity, rows = _split(opened, suite)
        checks.append(Check(name="batch invariance", passed=split_parity.passed, detail=_figures(split_parity)))
    decisions = _decisions(opened, suite) if suite.validation else None
    if isinstance(decisions, Decisions):
        checks.append(_decided(decisions, suite.tolerance))
    elif decisions is not None:
        checks.append(Check(name="decisions", passed=False, detail=decisions))
    passed = all(check.passed for check in checks)
    if not passed and found is None:
        key = traced([*suite.golden, *suite.edges]).key
        found = diagnose([*outcomes, *edges], suite.tolerance, suite.inputs, key)
        if found is None:  # the rows of a batch alone: evidence of a frozen batch, else of no more than the check says
            frozen = diagnose([*outcomes, *edges, *rows], suite.tolerance, suite.inputs, key)
            found = frozen if frozen and frozen.name == "frozen dimension" else None
    if not passed and found is None:  # every value is right and a decision or a batch is not
        failed = next(check for check in checks if not check.passed)
        found = Diagnosis("wrong values", f"{failed.name}: {failed.detail}")
    return Proof(
        passed=passed,
        diagnosis=found.name if found else None,
        sentence=found.sentence if found else None,
        checks=checks,
        parity=parity,
        decisions=decisions if isinstance(decisions, Decisions) else None,
        facts=opened.facts,
    )


def _signature(suite: Suite, found: Diagnosis | None) -> Check:
    shown = ", ".join(f"{spec.name} {spec.dtype}{spec.dims}" for spec in (*suite.inputs, *suite.outputs))
    return Check(name="signature", passed=found is None, detail=found.sentence if found else shown.replace("'", ""))


def _parity(outcomes: Sequence[Outcome], suite: Suite, include_payloads: bool) -> Parity:
    """compare() over what was answered; what was not is a reason of its own."""
    answers = {outcome.example.key: outcome for outcome in outcomes if outcome.answer is not None}
    parity = compare(
        ((key, o.example.outputs, o.answer) for key, o in answers.items() if o.answer is not None), suite.tolerance
    )
    silent = [f"{outcome.example.key}: {outcome.error}" for outcome in outcomes if outcome.answer is None]
    worst = parity.worst
    if worst:
        outcome = answers[worst.request]
        update: dict[str, object] = {"sha256": _hash(outcome.example.inputs)}
        if include_payloads and outcome.answer is not None:
            index = tuple(worst.index)
            update |= {
                "answer": float(outcome.answer[worst.output][index]),
                "reference": float(outcome.example.outputs[worst.output][index]),
            }
        worst = worst.model_copy(update=update)
    return parity.model_copy(
        update={
            "passed": parity.passed and not silent,
            "requests": len(outcomes),
            "reasons": [*silent, *parity.reasons][:5],
            "worst": worst,
        }
    )


def _classes(outcomes: Sequence[Outcome], suite: Suite) -> list[Check]:
    """Whether the classes are equal, where the values cannot tell: the tolerance forgives all of an output."""
    names = hidden([example.outputs for example in suite.golden], suite.tolerance.atol)
    answered = [
        (o.example.key, _only(names, o.example.outputs), _only(names, o.answer))
        for o in outcomes
        if o.answer is not None
    ]
    agreement = compare(answered, suite.tolerance).agreement if names else None
    if agreement is None:
        return []
    least = suite.tolerance.agreement or LEAST_AGREEMENT
    detail = f"{agreement:.2%} equal (needed: {least:.0%}) in {', '.join(sorted(names))}, whose values prove nothing"
    return [Check(name="classes", passed=agreement >= least, detail=detail)]


def _only(names: set[str], tensors: Tensors) -> Tensors:
    return {name: array for name, array in tensors.items() if name in names}


def _hash(inputs: Tensors) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(inputs.items()):
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode() + to_bytes(array))
    return digest.hexdigest()


def _figures(parity: Parity) -> str:
    if not parity.passed:
        return "; ".join(parity.reasons[:MOST_REASONS])
    largest = "equal" if parity.max_abs is None else f"max |difference| {parity.max_abs:.1e}"
    return f"{largest} over {parity.requests} requests"


def _split(opened: Opened, suite: Suite) -> tuple[Parity, list[Outcome]]:
    """Ask for the rows of some batches one by one, and compare with the trained model's answers to the whole batch.

    Where the scale of int8 activations spans the batch only the decisions can be equal.
    """
    limits = suite.tolerance
    tolerance = Tolerance(math.inf, 0.0, limits.agreement) if limits.agreement else limits
    outcomes = [outcome for batch in batches([*suite.golden, *suite.edges]) for outcome in ask(opened, split(batch))]
    silent = next((outcome for outcome in outcomes if outcome.answer is None), None)
    if silent:
        reason = f"{silent.example.key}: one row of it alone: {silent.error}"
        parity = Parity(passed=False, max_abs=None, max_rel=None, agreement=None, requests=0, reasons=[reason])
        return parity, outcomes
    answered = ((o.example.key, o.example.outputs, o.answer) for o in outcomes if o.answer is not None)
    return compare(answered, tolerance), outcomes


def batches(golden: Sequence[Example]) -> list[Example]:
    """The requests of several rows that are asked again row by row."""
    return [example for example in golden if example.rows > 1][:BATCHES_TO_SPLIT]


def split(batch: Example) -> list[Example]:
    """Every row of a batch as a request of its own."""
    return [
        Example(
            batch.key,
            {name: array[row : row + 1] for name, array in batch.inputs.items()},
            {name: array[row : row + 1] for name, array in batch.outputs.items()},
        )
        for row in range(batch.rows)
    ]


def _decisions(opened: Opened, suite: Suite) -> Decisions | str:
    """Classes for the labelled inputs, or why there are none."""
    validation = suite.validation
    assert validation is not None and validation.decisions is not None
    first = suite.outputs[0].name
    try:
        decided = validation.judge([opened.call(inputs)[first] for inputs in validation.batches()])
    except Exception as error:  # runtimes have no common base of errors
        return first_words(error)
    return Decisions(
        rows=validation.rows,
        agreement=float((decided == validation.decisions).mean()),
        accuracy_trained=round(validation.accuracy(validation.decisions), 4),
        accuracy=round(validation.accuracy(decided), 4),
    )


def _decided(decisions: Decisions, tolerance: Tolerance) -> Check:
    least = tolerance.agreement or LEAST_AGREEMENT
    return Check(
        name="decisions",
        passed=decisions.agreement >= least,
        detail=f"{decisions.agreement:.2%} of {decisions.rows} equal to the trained model's (needed: {least:.0%}), "
        f"accuracy {decisions.accuracy_trained:.3f} before, {decisions.accuracy:.3f} after",
    )
