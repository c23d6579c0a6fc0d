"""The objectives of one variant, judged on its valid open-loop stages. Pure."""

from __future__ import annotations

from contract.slo import Slo
from contract.verdict import MaxRate, SloResult, StageResult
from report.words import percentile_name

NO_COST = "no price table is configured, and this machine was not declared to be the instance that is priced"


def judge(stages: list[StageResult], slo: Slo) -> SloResult:
    """Judge latency, error rate and answers; ``passed`` is None when no open-loop stage is valid."""
    opened = [stage for stage in stages if stage.of_slo]
    usable = [stage for stage in opened if stage.valid]
    if not usable:
        why = (
            "; ".join(reason for stage in opened for reason in stage.reasons)
            or "no open-loop stage with a steady rate was finished"
        )
        return _result(None, MaxRate(value=None, low=None, high=None), [f"not judged: {why}"])
    reasons: list[str] = []
    kept: list[float] = []
    missed: list[float] = []
    for stage in usable:
        passed, sentences = _judge_stage(stage, slo)
        reasons += sentences
        (kept if passed else missed).append(stage.target)
    best = max(kept, default=None)
    return _result(best is not None, MaxRate(value=best, low=best, high=min(missed, default=None)), reasons)


def _judge_stage(stage: StageResult, slo: Slo) -> tuple[bool, list[str]]:
    judged = [_judge_latency(stage, name, limit) for name, limit in slo.latency_ms.items()]
    share = sum(stage.errors.values()) / stage.requests if stage.requests else 1.0
    reliable = share <= slo.error_rate
    sentence = f"error rate is {share:.3%}; objective {slo.error_rate:.3%}: {'kept' if reliable else 'missed'}"
    return reliable and all(kept for kept, _ in judged), [*(said for _, said in judged), sentence]


def _judge_latency(stage: StageResult, name: str, limit_ms: float) -> tuple[bool, str]:
    """One percentile: on what may be claimed of it, and on its value where nothing may."""
    found, shown_name = getattr(stage.latency_ms, name), percentile_name(name)
    judged = found.upper if found.upper is not None else found.value
    kept = judged is not None and judged <= limit_ms
    if found.value is None:
        shown = f"{shown_name} is unknown"
    elif found.upper is None:
        shown = (
            f"{shown_name} is {found.value:.2f} ms "
            f"(about {found.missing:,} more requests needed to claim it at 99 % confidence)"
        )
    else:
        shown = f"{shown_name} is {found.value:.2f} ms, at most {found.upper:.2f} ms at 99 % confidence"
    at = f"objective {limit_ms:g} ms at {stage.target:g} requests/s"
    return kept, f"{shown}; {at}: {'kept' if kept else 'missed'}"


def _result(passed: bool | None, rate: MaxRate, reasons: list[str]) -> SloResult:
    return SloResult(passed=passed, max_rps=rate, cost_per_million=None, cost_reason=NO_COST, reasons=reasons)
