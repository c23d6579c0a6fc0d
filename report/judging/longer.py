"""What a person can do to tell apart what tied on its p99: measure longer, or ask another question. Pure.

An interval narrows with the square root of the requests, so four times as many halve it. A p99 that has none yet needs
about `REQUESTS` of them: so many gave one on simulated queues at a third of the load that saturates.
"""

from __future__ import annotations

import math

from contract.verdict import Report, StageResult
from report import words

REQUESTS = 3_000
LONGER = 4
OF_LOAD = ("", "map")  # plans whose open loop takes its length from [load]; the others state their own


def remedy(report: Report) -> str:
    """The setting and the command; empty where nothing tied, or rates were compared and not latencies."""
    twice = next((item for item in report.variants if item.id == report.noise.variant), None)
    stage = words.open_stage(report, twice) if twice else None
    if report.search is not None or stage is None or not any(winner.tied for winner in report.winners):
        return ""
    where = "under [load]" if report.load_plan in OF_LOAD else f"for {stage.name} of the load plan '{report.load_plan}'"
    key = "open_duration_s" if report.load_plan in OF_LOAD else "duration_s"
    return (
        f"To tell apart what ties, measure longer ({key} = {_seconds(report, stage)} {where} in models.toml; it was "
        f"{words.number(stage.duration_s)} s, {stage.requests:,} requests), on a quieter machine, or compare the "
        "highest rates instead (make slo)."
    )


def _seconds(report: Report, stage: StageResult) -> int:
    """Of all rounds together."""
    least = 0.0 if report.noise.p99_low is not None else REQUESTS / stage.target
    return math.ceil(max(least, LONGER * stage.duration_s))
