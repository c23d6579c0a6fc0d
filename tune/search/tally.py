"""What was counted at one rate, and whether the objectives were kept by it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.certificate import MOST_CLIENT_CPU
from contract.slo import Slo
from contract.statistics import PERCENTILES
from contract.trust import MOST_LATE_SHARE
from loadtest.master.asking import Measured

ERRORS = "errors"
CLOSE = 4.0  # times what is allowed: a miss below it may be one hiccup of the machine


@dataclass(frozen=True)
class Tally:
    """Requests that were due in the windows at one rate: all, failed, and over each percentile's limit."""

    due: int = 0
    failed: int = 0
    over: Mapping[str, int] = field(default_factory=dict)

    def plus(self, seen: Measured) -> Tally:
        """With the counts of one more window."""
        over = {name: self.over.get(name, 0) + count for name, count in seen.over.items()}
        return Tally(self.due + seen.due, self.failed + seen.failed, over)


@dataclass(frozen=True)
class Judged:
    """Which objectives were missed (percentiles or `errors`), whether by little, and in words."""

    missed: tuple[str, ...]
    close: bool
    reason: str


def judge(tally: Tally, slo: Slo, forgiven: int = 0) -> Judged:
    """By shares: of p99 at most 1 % of the requests may be over the limit or fail, at most ``error_rate`` may fail.

    So many are ``forgiven`` in any case: of a window with few requests one slow one says nothing.
    """
    counts = {name: tally.over.get(name, 0) for name in slo.latency_ms} | {ERRORS: tally.failed}
    shares = {name: _share(count, tally.due) for name, count in counts.items()}
    allowed = {name: 1 - PERCENTILES[name] for name in slo.latency_ms} | {ERRORS: slo.error_rate}
    missed = tuple(
        name for name, count in counts.items() if count > forgiven and shares[name] > allowed[name] * (1 + 1e-9)
    )
    close = all(shares[name] < CLOSE * allowed[name] for name in missed)
    told = max(missed or slo.latency_ms, key=lambda name: shares[name] / (allowed[name] or 1e-9))
    what = "failed" if told == ERRORS else f"above {slo.latency_ms[told]:g} ms"
    if not missed:
        return Judged(missed, close, f"{_percent(shares[told])} {what}")
    return Judged(missed, close, f"{_above(shares[told], allowed[told])} {what}, {_percent(allowed[told])} allowed")


def judge_confirmation(tally: Tally, slo: Slo, claimed_ms: Mapping[str, float]) -> Judged:
    """By the counts, and by what may be claimed of each percentile (milliseconds, `claim.py`)."""
    counted = judge(tally, slo)
    over = [name for name, limit in slo.latency_ms.items() if claimed_ms.get(name, 0.0) > limit]
    if counted.missed or not over:
        return counted
    told = over[0]
    reason = f"{told} may be {claimed_ms[told]:.4g} ms at 99 % confidence, {slo.latency_ms[told]:g} ms allowed"
    return Judged(tuple(over), False, reason)


def spoiled(seen: Measured) -> str:
    """Why a window says nothing about the server; empty when it does.

    What a slow server holds back is not among the late ones: a sender that is late by itself makes every latency long,
    for they count from the intended send.
    """
    if seen.lost:
        return f"{', '.join(seen.lost)} of the load generator were lost"
    if not seen.due:
        return "nothing was sent"
    if seen.late > MOST_LATE_SHARE * seen.due:
        return f"{_above(seen.late / seen.due, MOST_LATE_SHARE)} left late, {_percent(MOST_LATE_SHARE)} allowed"
    if seen.client_cpu > MOST_CLIENT_CPU:
        used = f"the busiest load process used {_above(seen.client_cpu, MOST_CLIENT_CPU)} of a core"
        return f"{used}, {_percent(MOST_CLIENT_CPU)} allowed"
    return ""


def _share(count: int, due: int) -> float:
    return count / due if due else 1.0


def _percent(share: float, digits: int = 2) -> str:
    """So many digits; with two 0.13 %, 2.3 %, 87 %."""
    return f"{100 * share:.{digits}g} %" if share < 0.995 else "100 %"


def _above(share: float, allowed: float) -> str:
    """A share that is above what is allowed, with as many digits as it takes to see that: 5.02 %, 5 % allowed."""
    digits = next((n for n in range(2, 6) if float(f"{share:.{n}g}") > allowed), 6)
    return _percent(share, digits)
