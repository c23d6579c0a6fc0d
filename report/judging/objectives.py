"""The objectives of one variant: on its valid open-loop stages, or on the confirmation of a search. Pure.

What is promised is a rate: limits that are kept below it are no proof, limits that are missed below it are.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.search import Found, Limit
from contract.slo import Slo
from contract.verdict import MaxRate, Percentile, SloResult, StageResult
from report.figures.claim import CONFIRMATIONS
from report.figures.promise import PROMISED, reaches
from report.judging.cost import NO_PRICE
from report.words import Ended, ended_by, percentile_name, plain, share

ENDED: dict[Ended, str] = {
    "server": "the server was the limit",
    "load generator": "the load generator was the limit, not the server",
    "machine": "other work on the machine was the limit, neither the server nor the load generator",
    "answers": "failed requests ended the search",
    "range": "the search went no further",
    "": "the search was cut short",
}
BY_THE_SERVER: tuple[Limit, ...] = ("server", "answers")


def judge(stages: list[StageResult], slo: Slo, unlike: Sequence[str] = ()) -> SloResult:
    """Judge latency and error rate of the valid stages that show what was promised (`promise.py`).

    ``passed`` is False where one at ``slo.rate`` or below misses them, else True where one at ``slo.rate`` or above
    keeps them, else None. ``unlike`` says how stages that were planned differ from what was promised.
    """
    opened = [stage for stage in stages if stage.of_slo]
    usable = [stage for stage in opened if stage.valid]
    spoiled = [reason for stage in opened if not stage.valid for reason in stage.reasons]
    if not usable:
        why = "; ".join([*spoiled, *unlike]) or f"no open-loop stage with {PROMISED} was finished"
        return _result(None, MaxRate(value=None, low=None, high=None), [f"not judged: {why}"])
    reasons: list[str] = []
    kept: list[float] = []
    missed: list[float] = []
    for stage in usable:
        holds, sentences = _judge_stage(stage, slo)
        reasons += sentences
        (kept if holds else missed).append(stage.target)
    best, least = max(kept, default=None), min(missed, default=None)
    passed = _of_rates(best, least, slo.rate)
    if passed is None:
        tried = ", ".join(f"{plain(stage.target)} requests/s" for stage in usable)
        beside = "; ".join(["", *spoiled, *unlike])
        reasons.append(
            f"not judged at the promised rate: it is {plain(slo.rate)} requests/s, judged was {tried}{beside}; "
            f"plan a stage with rate = {plain(slo.rate)}"
        )
    return _result(passed, MaxRate(value=best, low=best, high=least), reasons)


def _of_rates(best: float | None, least: float | None, promised: float) -> bool | None:
    """What the highest rate that was kept and the lowest that was missed say of the promised one, requests/s."""
    if least is not None and reaches(promised, least):
        return False
    return True if best is not None and reaches(best, promised) else None


def judge_found(
    found: Found | None,
    confirmation: StageResult | None,
    slo: Slo,
    confidence: float | None = None,
    kept_waiting: bool = False,
) -> SloResult:
    """Judge what a search found: kept when at least ``slo.rate`` was confirmed, on the records of the confirmation.

    ``confirmation`` is the stage that ``found`` names, ``confidence`` what its records leave of the answer as a whole
    (`claim.py`); None where nothing may be claimed. ``kept_waiting`` is that of `MaxRate`. ``passed`` is None where the
    search cannot tell: what was promised was neither confirmed nor missed, because something else than the server
    ended the search.
    """
    if found is None:
        return _result(None, MaxRate(value=None, low=None, high=None), ["not judged: its highest rate was not sought"])
    if confirmation is None:
        return _conclude(found, kept_waiting, slo, None, found.high, [_unconfirmed(found)])
    if not (confirmation.of_slo and confirmation.valid):
        why = "; ".join(confirmation.reasons) or "it was no confirmation"
        spoiled = f"not judged: the confirmation at {plain(confirmation.target)} requests/s is not valid: {why}"
        return _conclude(found, kept_waiting, slo, None, found.high, [spoiled])
    kept, reasons = _judge_stage(confirmation, slo)
    if kept:
        return _conclude(found, kept_waiting, slo, confirmation.target, found.high, [*reasons, _confidence(confidence)])
    missed = [confirmation.target, *([] if found.high is None else [found.high])]
    return _conclude(found, kept_waiting, slo, None, min(missed), reasons)


def _conclude(
    found: Found, waiting: bool, slo: Slo, value: float | None, high: float | None, reasons: list[str]
) -> SloResult:
    """``value`` is the rate that was confirmed, ``high`` the lowest that was missed, requests per second."""
    rate = MaxRate(value=value, low=value, high=high, limited_by=found.limited_by, kept_waiting=waiting)
    too_much = high is not None and high <= slo.rate
    too_slow = value is not None and value < slo.rate and found.limited_by in BY_THE_SERVER
    kept = value is not None and value >= slo.rate
    passed = False if too_much or too_slow else True if kept else None
    word = {True: "kept", False: "missed", None: "not judged"}[passed]
    shown = "no rate was confirmed" if value is None else f"{plain(value)} requests/s were confirmed"
    last = f"{shown}, {ENDED[ended_by(rate)]}; objective {plain(slo.rate)} requests/s: {word}"
    return _result(passed, rate, [*reasons, last])


def _confidence(level: float | None) -> str:
    what = "nothing may be claimed, it is as measured" if level is None else f"{share(level)} confidence"
    return f"of up to {CONFIRMATIONS} confirmations the first that is kept counts; for all of them together {what}"


def _unconfirmed(found: Found) -> str:
    """What became of the search, in the words of its last step."""
    if not found.probes:
        return "no rate was tried"
    last = found.probes[-1]
    return f"the last rate that was tried, {plain(last.rate)} requests/s, was {last.outcome}: {last.reason}"


def _judge_stage(stage: StageResult, slo: Slo) -> tuple[bool, list[str]]:
    judged = [_judge_latency(stage, name, limit) for name, limit in slo.latency_ms.items()]
    share = sum(stage.errors.values()) / stage.requests if stage.requests else 1.0
    reliable = share <= slo.error_rate
    sentence = f"error rate is {share:.3%}; objective {slo.error_rate:.3%}: {'kept' if reliable else 'missed'}"
    return reliable and all(kept for kept, _ in judged), [*(said for _, said in judged), sentence]


def holds(found: Percentile, limit_ms: float) -> bool:
    """Whether a percentile keeps its limit: what may be claimed of it, and its value where nothing may."""
    judged = found.upper if found.upper is not None else found.value
    return judged is not None and judged <= limit_ms


def _judge_latency(stage: StageResult, name: str, limit_ms: float) -> tuple[bool, str]:
    found, shown_name = getattr(stage.latency_ms, name), percentile_name(name)
    kept = holds(found, limit_ms)
    if found.value is None:
        shown = f"{shown_name} is unknown"
    elif found.upper is None:
        shown = (
            f"{shown_name} is {found.value:.2f} ms "
            f"(about {found.missing:,} more requests needed to claim it at 99 % confidence)"
        )
    else:
        shown = f"{shown_name} is {found.value:.2f} ms, at most {found.upper:.2f} ms at 99 % confidence"
    at = f"objective {limit_ms:g} ms at {plain(stage.target)} requests/s"
    return kept, f"{shown}; {at}: {'kept' if kept else 'missed'}"


def _result(passed: bool | None, rate: MaxRate, reasons: list[str]) -> SloResult:
    return SloResult(passed=passed, max_rps=rate, cost_per_million=None, cost_reason=NO_PRICE, reasons=reasons)
