"""Why a variant has no open-loop stage to be judged on: in full with the figures, and in a few words. Pure.

A check is named after what should hold; what failed is said by its figures or by `FAILED`, never by that name alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.verdict import Check, StageResult

FAILED: dict[str, str] = {  # by the names of `figures/validity.py`
    "duration": "it was cut short",
    "samples for p99": "too few requests",
    "error rate": "too many requests failed",
    "answers": "answers were wrong or not known",
    "whole": "not all of the load was sent",
    "sent on time": "sends were late",
    "kept up": "it did not keep up",
    "client has time": "too near the load generator's ceiling",
    "generator CPU": "the load generator was too busy",
    "steady": "it was not steady",
}


def opened(stages: Sequence[StageResult]) -> list[StageResult]:
    """The open-loop stages of a plan; those of a search are judged by their confirmation instead."""
    return [stage for stage in stages if stage.mode == "open" and stage.purpose == "measure"]


def failed(stage: StageResult) -> list[Check]:
    """The checks that made a stage INVALID."""
    return [check for check in stage.checks if not check.passed]


def in_full(stages: Sequence[StageResult]) -> str:
    """The figures of every check that failed, by stage."""
    spoiled = [f"{stage.name}: {', '.join(check.detail for check in failed(stage))}" for stage in opened(stages)]
    return f"it has no valid open-loop stage ({'; '.join(spoiled) or 'none was finished'})"


def briefly(stages: Sequence[StageResult]) -> str:
    """The same without figures, so that variants that share a reason can share a sentence; empty where one is valid."""
    found = opened(stages)
    if not found or any(stage.valid for stage in found):
        return ""
    names = dict.fromkeys(check.name for stage in found for check in failed(stage))
    return f"no valid open-loop stage: {', '.join(FAILED.get(name, name) for name in names)}"
