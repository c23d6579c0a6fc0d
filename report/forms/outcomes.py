"""What became of each objective of a variant: the smallest thing that a gate can pass, fail or skip. Pure.

An objective belongs to the promised rate, and is judged by the rule that the variant is judged by (`objectives.py`),
for itself: a valid stage at that rate or below that misses it is proof that it is missed, one at that rate or above
that keeps it is proof that it is kept, and the nearest such stage is quoted. So some case of a ranked variant fails
exactly where the variant misses its objectives. Of a search the confirmation alone is judged, at the rate that it
confirmed, and the promised rate is an objective of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from contract.statistics import PERCENTILES
from contract.verdict import Percentile, Report, StageResult, Variant
from report import words
from report.figures.promise import PROMISED, reaches
from report.judging.objectives import holds


@dataclass(frozen=True)
class Outcome:
    """One objective of one variant. ``kept`` is None where nothing may be concluded; ``reason`` says why."""

    objective: str
    kept: bool | None
    reason: str
    seconds: float  # of the window that it was judged on


@dataclass(frozen=True)
class Seen:
    """How one stage stands to one objective, with its figure in words."""

    stage: StageResult
    kept: bool
    figure: str

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.stage.target


Look = Callable[[StageResult], Seen]


def outcomes(report: Report, variant: Variant) -> list[Outcome]:
    """The objectives of a variant in their order, latency first; not concluded where the variant is not ranked."""
    found = list(_judged(report, variant))
    if variant.rankable:
        return found
    return [Outcome(item.objective, None, words.not_ranked(variant), item.seconds) for item in found]


def unserved(report: Report) -> dict[tuple[str, str], list[Outcome]]:
    """Of every export that is not served, by model and export: its objectives, of which nothing may be concluded."""
    found = {}
    for key, status in report.unserved.items():
        model, _, export = key.partition(" ")
        named = [objective for objective, _ in objectives(report.objectives.get(model, {}))] or ["served"]
        found[model, export] = [Outcome(objective, None, f"not served: {status}", 0.0) for objective in named]
    return found


def objectives(promised: dict[str, float]) -> list[tuple[str, Look]]:
    """What a model promises at its rate: the objective in words, and how a stage stands to it."""
    limits = {name: promised[f"{name}_ms"] for name in PERCENTILES if f"{name}_ms" in promised}
    found = [
        (f"{words.percentile_name(name)} ≤ {words.plain(limit)} ms", _latency(name, limit))
        for name, limit in limits.items()
    ]
    if "error_rate" in promised:
        found.append((f"errors ≤ {words.share(promised['error_rate'])}", _errors(promised["error_rate"])))
    return found


def _judged(report: Report, variant: Variant) -> Iterator[Outcome]:
    promised = report.objectives.get(variant.model, {})
    shown = words.open_stage(report, variant)
    stages = [stage for stage in variant.stages if stage.of_slo]
    if report.search is not None:  # the other confirmations were not kept, and the search went on below them
        stages = [] if shown is None else [shown]
    rate = promised.get("rate") if report.search is None else None
    for objective, look in objectives(promised):
        yield _conclude(objective, stages, look, rate)
    if report.search is not None and "rate" in promised:
        reason = variant.slo.reasons[-1] if variant.slo.reasons else "not judged"
        objective = f"{words.plain(promised['rate'])} req/s under the SLO"
        yield Outcome(objective, variant.slo.passed, reason, shown.duration_s if shown else 0.0)


def _conclude(objective: str, stages: Sequence[StageResult], look: Look, promised: float | None) -> Outcome:
    """``promised`` is a rate in requests per second; where it is None the highest that is valid stands for it."""
    usable = [look(stage) for stage in stages if stage.valid]
    spoiled = [f"{stage.name}: {reason}" for stage in stages if not stage.valid for reason in stage.reasons]
    if not usable:
        why = "; ".join(spoiled) or f"no open-loop stage with {PROMISED} was finished"
        return Outcome(objective, None, f"not judged: {why}", max((stage.duration_s for stage in stages), default=0.0))
    rate = max(seen.rate for seen in usable) if promised is None else promised
    missed = max((s for s in usable if not s.kept and reaches(rate, s.rate)), key=lambda s: s.rate, default=None)
    kept = min((s for s in usable if s.kept and reaches(s.rate, rate)), key=lambda s: s.rate, default=None)
    decisive = missed or kept
    if decisive is None:
        tried = [f"{'kept' if seen.kept else 'missed'} with {seen.figure}" for seen in usable]
        why = "; ".join([f"not judged at {words.plain(rate)} req/s", *tried, *spoiled])
        return Outcome(objective, None, why, usable[-1].stage.duration_s)
    return Outcome(objective, decisive.kept, decisive.figure, decisive.stage.duration_s)


def _latency(name: str, limit_ms: float) -> Look:
    def look(stage: StageResult) -> Seen:
        found: Percentile = getattr(stage.latency_ms, name)
        figure = f"{words.number(found.value)} ms ({words.claim(found)}) {_at(stage)}"
        return Seen(stage, holds(found, limit_ms), figure)

    return look


def _errors(limit: float) -> Look:
    def look(stage: StageResult) -> Seen:
        failed = sum(stage.errors.values())
        kept = stage.requests > 0 and failed / stage.requests <= limit
        return Seen(stage, kept, f"{failed:,} of {stage.requests:,} requests failed {_at(stage)}")

    return look


def _at(stage: StageResult) -> str:
    return f"at {words.plain(stage.target)} req/s"
