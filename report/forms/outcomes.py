"""What became of each objective of a variant: the smallest thing that a gate can pass, fail or skip. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contract.statistics import PERCENTILES
from contract.verdict import Percentile, Report, StageResult, Variant
from report import words


@dataclass(frozen=True)
class Outcome:
    """One objective of one variant. ``kept`` is None where nothing may be concluded; ``reason`` says why."""

    objective: str
    kept: bool | None
    reason: str
    seconds: float  # of the window that it was judged on


def outcomes(report: Report, variant: Variant) -> list[Outcome]:
    """The objectives of a variant in their order, latency first; not concluded where the variant is not ranked."""
    found = list(_judged(report, variant))
    if variant.rankable:
        return found
    return [Outcome(item.objective, None, words.not_ranked(variant), item.seconds) for item in found]


def _judged(report: Report, variant: Variant) -> Iterator[Outcome]:
    promised = report.objectives.get(variant.model, {})
    stage = words.open_stage(report, variant)
    for name in PERCENTILES:
        if f"{name}_ms" in promised:
            yield _latency(stage, name, promised[f"{name}_ms"])
    if "error_rate" in promised:
        yield _errors(stage, promised["error_rate"])
    if report.search is not None and "rate" in promised:
        reason = variant.slo.reasons[-1] if variant.slo.reasons else "not judged"
        objective = f"{words.plain(promised['rate'])} req/s under the SLO"
        yield Outcome(objective, variant.slo.passed, reason, stage.duration_s if stage else 0.0)


def _latency(stage: StageResult | None, name: str, limit_ms: float) -> Outcome:
    objective = f"{words.percentile_name(name)} ≤ {words.plain(limit_ms)} ms"
    if stage is None or not stage.valid:
        return _open(objective, stage)
    found: Percentile = getattr(stage.latency_ms, name)
    # As the report's own verdict: on what may be claimed, and on the value where nothing may.
    judged = found.upper if found.upper is not None else found.value
    reason = f"{words.number(found.value)} ms ({words.claim(found)}) {_at(stage)}"
    return Outcome(objective, judged is not None and judged <= limit_ms, reason, stage.duration_s)


def _errors(stage: StageResult | None, limit: float) -> Outcome:
    objective = f"errors ≤ {words.share(limit)}"
    if stage is None or not stage.valid:
        return _open(objective, stage)
    failed = sum(stage.errors.values())
    kept = stage.requests > 0 and failed / stage.requests <= limit
    reason = f"{failed:,} of {stage.requests:,} requests failed {_at(stage)}"
    return Outcome(objective, kept, reason, stage.duration_s)


def _open(objective: str, stage: StageResult | None) -> Outcome:
    """Nothing may be concluded."""
    why = "; ".join(stage.reasons) if stage else "no open-loop stage with a steady rate was finished"
    return Outcome(objective, None, f"not judged: {why}", stage.duration_s if stage else 0.0)


def _at(stage: StageResult) -> str:
    return f"at {words.plain(stage.target)} req/s"
