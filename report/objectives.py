"""The objectives of one variant, judged on its valid open-loop stages. Pure."""

from __future__ import annotations

from contract.config import Slo
from contract.verdict import MaxRate, SloResult, StageResult

NO_COST = "no price table is configured, and this machine was not declared to be the instance that is priced"


def judge(stages: list[StageResult], slo: Slo) -> SloResult:
    """Judge p99, error rate and answers; ``passed`` is None when no open-loop stage is valid."""
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
    p99 = stage.latency_ms.p99
    share = sum(stage.errors.values()) / stage.requests if stage.requests else 1.0
    judged = p99.upper if p99.upper is not None else p99.value
    fast = judged is not None and judged <= slo.p99_ms
    reliable = share <= slo.error_rate
    if p99.value is None:
        shown = "p99 is unknown"
    elif p99.upper is None:
        shown = f"p99 is {p99.value:.2f} ms (about {p99.missing:,} more requests needed to claim it at 99 % confidence)"
    else:
        shown = f"p99 is {p99.value:.2f} ms, at most {p99.upper:.2f} ms at 99 % confidence"
    sentences = [
        f"{shown}; objective {slo.p99_ms:g} ms at {stage.target:g} requests/s: {'kept' if fast else 'missed'}",
        f"error rate is {share:.3%}; objective {slo.error_rate:.3%}: {'kept' if reliable else 'missed'}",
    ]
    return fast and reliable, sentences


def _result(passed: bool | None, rate: MaxRate, reasons: list[str]) -> SloResult:
    return SloResult(passed=passed, max_rps=rate, cost_per_million=None, cost_reason=NO_COST, reasons=reasons)
