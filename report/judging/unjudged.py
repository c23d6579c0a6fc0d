"""What heads a run whose plan has nothing to judge: what it found all the same, or why that is not believed. Pure.

An overload goes beyond the maximum and comes back. No objective is promised there, so it can neither pass nor fail; it
finds what a server still gets done and how soon it is itself again. That is believed by the rules of every stage, but
for what an overload is made to break: that few requests fail, that what is offered is answered, and in time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from contract.verdict import Overload, StageResult, Variant
from report import words
from report.figures.overload import beyond

BROKEN_ON_PURPOSE = ("error rate", "kept up")  # of `validity.py`, from the stage above the maximum on
MOST_SHOWN = 3  # variants in the sentence of a verdict
NEXT = "Objectives are judged by 'make loadtest'."


def unjudged(load_plan: str, missing: str, variants: Sequence[Variant], unserved: Collection[str] = ()) -> str:
    """What an overload found, where every model has a variant that shows it; else why the run says nothing.

    ``missing`` is what the plan lacks for a verdict (`promise.py`), ``unserved`` are models of which an export is not
    served.
    """
    if not any(variant.overload for variant in variants):
        return f"INVALID: the load plan '{load_plan}' {missing}."
    doubts = {variant.id: _doubt(variant) for variant in variants}
    shown = [variant for variant in variants if not doubts[variant.id]]
    without = sorted(({v.model for v in variants} | set(unserved)) - {v.model for v in shown})
    if without:
        told = [f"{_name(v)}: {doubts[v.id]}" for v in variants if v.model in without]
        told += [f"{model}: it is not served" for model in without if all(v.model != model for v in variants)]
        return (
            f"INVALID: the load plan '{load_plan}' goes beyond the maximum, and what it shows of that is not to be "
            f"trusted: {_some(told)}. Measure again. {NEXT}"
        )
    found = _some([f"{_name(v)}, {_found(v.overload)}" for v in shown if v.overload])
    return (
        f"INVALID: the load plan '{load_plan}' goes beyond the maximum and {missing}, so nothing is judged. "
        f"{found}. {NEXT}"
    )


def _doubt(variant: Variant) -> str:
    """Why what a variant showed beyond its maximum is not believed; empty where it is."""
    if variant.overload is None or not variant.complete:
        return "its measurement was interrupted" if variant.complete or variant.stages else "it was not measured"
    parity = variant.parity
    if not all(proof is None or proof.passed for proof in (parity.export, parity.engine, parity.endpoint)):
        return "it does not agree with the trained model"
    if not beyond(variant.overload.goodput_rps, variant.overload.offered_rps):
        return "its maximum was found too low, so this was no overload"
    return "; ".join(_spoiled(variant.stages, variant.overload.stage))


def _spoiled(stages: Sequence[StageResult], above: str) -> list[str]:
    """The checks that failed in the stages on which it hangs: the closed one that gave the maximum, and the open ones.

    ``above`` is the stage beyond the maximum: it and what follows may fail what is broken on purpose.
    """
    begun = [stage.name for stage in stages].index(above)
    most = max((stage.throughput_rps for stage in stages[:begun] if stage.mode == "closed"), default=0.0)
    return [
        f"{stage.name}: {check.name}: {check.detail}"
        for place, stage in enumerate(stages)
        if stage.mode == "open" or stage.throughput_rps == most
        for check in stage.checks
        if not check.passed and not (place >= begun and _on_purpose(stage, check.name))
    ]


def _on_purpose(stage: StageResult, check: str) -> bool:
    """Where nothing was answered, no answer was wrong either."""
    return check in BROKEN_ON_PURPOSE or (check == "answers" and not stage.answers_checked)


def _found(overload: Overload) -> str:
    kept = words.share(overload.goodput_rps / overload.maximum_rps) if overload.maximum_rps else "nothing"
    return f"asked for more, still answered {kept} of its maximum and {_again(overload.recovery_s)}"


def _again(recovery_s: float | None) -> str:
    if recovery_s is None:
        return "was not itself again in time"
    return f"was itself again after {words.number(recovery_s)} s" if recovery_s else "was itself again at once"


def _name(variant: Variant) -> str:
    return f"{variant.model}, {words.label(variant)}"


def _some(parts: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(parts) - MOST_SHOWN
    return "; ".join([*parts[:MOST_SHOWN], *([f"{more} more below"] if more > 0 else [])])
