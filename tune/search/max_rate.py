"""The highest rate that keeps the objectives of one variant: what to measure next, given what was measured. Pure.

1. *Knee*: closed loops tell how many requests per second are answered when the server is kept busy.
2. *Bracket*: Poisson probes from three quarters of it, up while they are kept or down while they are missed, farther
   each time (`span.py`), until a kept and a missed rate enclose the answer.
3. *Bisection* in the middle of the two, geometrically, until they are one resolution apart.
4. *Confirmation* at the highest kept rate, of a length that the method fixes before the first probe. It alone carries
   the claim. Where it misses, its rate is a missed one and the search goes on below it, with its longest probes.

A probe is judged by its counts (`tally.py`). A miss that is close, or that was cut short as hopeless, is asked
again with the longest window and the counts are pooled: one hiccup of a shared machine must not halve the answer. A
window that the load generator spoiled is tried again; a rate at which it stays so ends the range like a miss, but the
load generator was the limit and not the server (`bracket.py` keeps the account). Where the answer would be less
than half of the knee, the rate that ended the range is asked once more before it is believed.

*Repeated confirmations*: whoever tries k rates at 99 % confidence each and takes the first that is kept is wrong with
up to k %. There are at most ``CONFIRMATIONS``, and each has to hold at a confidence of ``1 - 0.01 / CONFIRMATIONS``
(Bonferroni; `claim.py`), so that the answer as a whole has 99 %. One that was spoiled is repeated without
counting: what spoils it does not look at how fast the server was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from contract.search import Found, Limit, Probe
from contract.slo import Slo
from loadtest.master.asking import Measured
from tune.search.bracket import Bracket
from tune.search.claim import CONFIRMATIONS
from tune.search.method import Method
from tune.search.span import Span, Top, rounded

ROUNDING = 1e-3  # rates have four digits


@dataclass(frozen=True)
class Wanted:
    """What to measure next: a closed loop of ``users``, or Poisson arrivals at ``rate``."""

    purpose: Literal["knee", "probe", "confirm"]
    window_s: float
    users: int | None = None
    rate: float | None = None
    careful: bool = False  # a probe of the longest window


class MaxRate:
    """The search of one variant. `next` says what to measure, `tell` takes what came of it; `bracket` is the account.

    ``tops`` are ceilings. ``expected`` is a rate to begin from where the method asks for no knee.
    """

    def __init__(
        self,
        slo: Slo,
        method: Method,
        tops: Iterable[Top] = (),
        expected: float | None = None,
    ) -> None:
        self._slo, self._method = slo, method
        self._tops = list(tops)
        self._expected = expected
        self.bracket = Bracket(slo)
        self._knees: list[float] = []
        self._probes: list[Probe] = []
        self._confirmed: Probe | None = None
        self._aim = math.inf  # the highest rate that is confirmed, after a confirmation that was missed
        self._seconds = 0.0
        self._hurried = False

    @property
    def kept(self) -> float | None:
        """The highest rate that a probe kept: what would be confirmed now."""
        return self.bracket.low

    @property
    def seconds(self) -> float:
        """That the search has taken so far."""
        return self._seconds

    def hurry(self) -> None:
        """Bisect no further: what is kept is confirmed. For when the time is nearly up."""
        self._hurried = True

    def next(self) -> Wanted | None:
        """What to measure; the same until it is told. None at the end."""
        if len(self._knees) < len(self._method.users):
            return Wanted("knee", self._method.shortest_s, users=self._method.users[len(self._knees)])
        failed = self.bracket.missed_confirmations, self.bracket.spoiled_confirmations
        if self._confirmed or max(failed) >= CONFIRMATIONS:
            return None
        again, low, high = self.bracket.open, self.bracket.low, self.bracket.high
        if again is None and self._aim <= (low or math.inf) and self._aim < (high or math.inf):
            return self._last(self._aim)
        if again is None and low is not None and self._enclosed(low, high):
            return self._last(low) if high is None or self._sure(low, high) else self._probe(high, careful=True)
        rate = again or self._untried(low, high)
        if rate is None:
            return None
        return self._probe(rate, self.bracket.careful(rate) or self.bracket.missed_confirmations > 0)

    def tell(self, seen: Measured, claimed_ms: Mapping[str, float] | None = None) -> str:
        """Take what came of `next`; returns it in words.

        ``claimed_ms`` is, of a confirmation, what its records allow to claim of each percentile (milliseconds).
        """
        wanted = self.next()
        assert wanted is not None, "the search is over"
        self._seconds += seen.seconds
        if wanted.rate is None:
            self._knees.append(seen.answered_rps)
            return f"{seen.answered_rps:,.0f}/s answered with {wanted.users} users"
        if wanted.purpose == "confirm":
            outcome, reason = self.bracket.confirmed(wanted.rate, seen, claimed_ms or {})
            if outcome == "missed":
                self._aim = self._lower(wanted.rate, claimed_ms or {})
        else:
            outcome, reason = self.bracket.probed(wanted.rate, seen, wanted.careful)
        probe = Probe(
            stage=seen.stage,
            purpose="confirm" if wanted.purpose == "confirm" else "probe",
            rate=wanted.rate,
            outcome=outcome,
            reason=reason,
            cut=seen.cut,
            seconds=round(seen.seconds, 3),
        )
        self._probes.append(probe)
        if wanted.purpose == "confirm" and outcome == "kept":
            self._confirmed = probe
        return f"{wanted.rate:,g}/s {'confirmed' if self._confirmed else outcome} ({reason})"

    def found(self, variant: str) -> Found:
        """The result as far as it goes."""
        confirmed = self._confirmed
        return Found(
            variant=variant,
            knee_rps=max(self._knees, default=None),
            probes=self._probes,
            confirmed=confirmed.stage if confirmed else None,
            value=confirmed.rate if confirmed else None,
            high=self.bracket.missed,
            limited_by=self._limit() if self.next() is None else "",
            seconds=round(self._seconds, 3),
        )

    def grid_seconds(self) -> float:
        """What a fixed grid would have taken, from the lowest rate that the search allows to the highest it tried."""
        highest = max((probe.rate for probe in self._probes), default=self._span.floor)
        return self._method.grid_seconds(min(self._span.floor, highest), highest, self._slo)

    def _probe(self, rate: float, careful: bool) -> Wanted:
        window_s = self._method.probe_window(rate, self._slo, careful)
        return Wanted("probe", window_s, rate=rate, careful=window_s >= self._method.probe_s)

    def _last(self, rate: float) -> Wanted:
        """What comes at the end: the rehearsal of the confirmation, then the confirmation."""
        if not (self.bracket.rehearsed(rate) or self._hurried):
            return self._probe(rate, careful=True)
        return Wanted("confirm", self._method.confirm_window(rate, self._slo), rate=rate)

    def _enclosed(self, low: float, high: float | None) -> bool:
        """Whether the highest kept rate is as near to what ends the range as it has to be."""
        if self._hurried or high is None:
            return self._hurried or low >= self._span.top.rate
        return high <= low * (1 + self._method.resolution) * (1 + ROUNDING)

    def _sure(self, low: float, high: float) -> bool:
        """Whether ``high`` may stand: an answer far below the knee is not believed before what ended the range has had
        a second chance, for the machine may have been busy then."""
        unmoved = self._hurried or self.bracket.missed_confirmations > 0 or not self._span.suspicious(low)
        return unmoved or self.bracket.checked(high)

    def _lower(self, missed: float, claimed_ms: Mapping[str, float]) -> float:
        """What may be confirmed after a confirmation that was missed."""
        times = max((claimed_ms.get(name, 0.0) / limit for name, limit in self._slo.latency_ms.items()), default=1.0)
        return self._span.after(missed, max(1.0, times), again=self.bracket.missed_confirmations > 1)

    def _untried(self, low: float | None, high: float | None) -> float | None:
        """The next rate to try; None where the search gives up."""
        if low is None:
            return self._span.begin if high is None else self._span.below(high)
        return self._span.above(low) if high is None else rounded(math.sqrt(low * high))

    @property
    def _span(self) -> Span:
        """Where to look, by what is known of the server."""
        knee = max(self._knees, default=0.0) or self._expected or self._slo.rate
        return Span(knee, self._slo.rate, self._method.resolution, self._tops)

    def _limit(self) -> Limit:
        """What ended a search that is over."""
        if self.bracket.high is None:  # the top was kept, or the time was up
            top = self._span.top
            return top.limit if self._confirmed and self._confirmed.rate >= top.rate else ""
        gave_up = not self._confirmed and self.bracket.missed_confirmations < CONFIRMATIONS
        limit = self.bracket.limit
        return "range" if gave_up and limit != "load generator" else limit
