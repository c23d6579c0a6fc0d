"""Whether a search that its load generator ended was really ended by other work on the machine. Pure.

The search sees late sends and counts them against its own side: rightly, for nothing was learnt of the server. Whose
fault they were is seen afterwards: a load process that had time and was late was kept waiting.
"""

from __future__ import annotations

from collections.abc import Mapping

from contract.search import Found
from contract.verdict import StageResult
from report.figures.other_work import HAD_TIME


def kept_waiting(found: Found, stages: Mapping[int, StageResult]) -> bool:
    """``stages`` by their index in the variant's plan. Every step that was spoiled has to show it."""
    spoiled = [stages[step.stage] for step in found.probes if step.outcome == "unclear" and step.stage in stages]
    return found.limited_by == "load generator" and bool(spoiled) and all(_idle_and_late(stage) for stage in spoiled)


def _idle_and_late(stage: StageResult) -> bool:
    failed = {check.name for check in stage.checks if not check.passed}
    had_time = stage.client_cpu is not None and stage.client_cpu <= HAD_TIME
    return had_time and "sent on time" in failed and "whole" not in failed
