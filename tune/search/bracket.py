"""Which rates were kept and which were missed, never in contradiction. Pure.

``high`` is the lowest rate that ended the range, ``low`` the highest kept one below it: a miss below a rate that was
kept before takes that rate out of the account.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.search import Limit, Outcome
from contract.slo import Slo
from loadtest.master.asking import Measured
from loadtest.master.early import FORGIVEN
from tune.search.tally import ERRORS, Tally, judge, judge_confirmation, spoiled

ASKED = 3  # times at most, of one rate, until it is kept or missed
SPOILED = 3  # windows of one rate, and it is beyond the load generator
AGAIN = "; asked again"


@dataclass
class Tried:
    """What became of one rate so far; no outcome while it has to be asked again."""

    tally: Tally = field(default_factory=Tally)
    asked: int = 0
    hopeless: int = 0  # of the windows, that were cut short so
    spoiled: int = 0
    last: bool = False  # its second time, with the longest window and judged by itself
    rehearsed: bool = False
    outcome: Outcome | None = None
    limit: Limit = ""  # who ended the range here


class Bracket:
    """The rates of one variant."""

    def __init__(self, slo: Slo) -> None:
        self._slo = slo
        self._rates: dict[float, Tried] = {}
        self.missed_confirmations = 0
        self.spoiled_confirmations = 0  # rates whose confirmation was spoiled each time

    @property
    def high(self) -> float | None:
        """The lowest rate that ended the range: missed, or beyond the load generator."""
        return min(self._with("missed", "unclear"), default=None)

    @property
    def low(self) -> float | None:
        """The highest kept rate below ``high``."""
        below = self.high or math.inf
        return max((rate for rate in self._with("kept") if rate < below), default=None)

    @property
    def missed(self) -> float | None:
        """The lowest rate at which the server missed its objectives."""
        return min(self._with("missed"), default=None)

    @property
    def limit(self) -> Limit:
        """Who ended the range at ``high``; empty where nobody did."""
        return self._rates[self.high].limit if self.high is not None else ""

    @property
    def open(self) -> float | None:
        """The rate that has to be asked again, if one has."""
        return next((rate for rate, tried in self._rates.items() if tried.outcome is None), None)

    def careful(self, rate: float) -> bool:
        """Whether a rate that is asked again needs a longest window; not where the one before was merely spoiled."""
        return rate in self._rates and (self._rates[rate].asked > 0 or self._rates[rate].last)

    def rehearsed(self, rate: float) -> bool:
        """Whether a rate was kept in a longest window: short ones are too kind to a queue that grows slowly."""
        return rate in self._rates and self._rates[rate].rehearsed

    def checked(self, rate: float) -> bool:
        """Whether a rate that ended the range has had a second chance."""
        return self._rates[rate].last

    def probed(self, rate: float, seen: Measured, careful: bool = False) -> tuple[Outcome, str]:
        """Take a probe, ``careful`` where its window was a longest one: its outcome and why."""
        tried = self._rates.setdefault(rate, Tried())
        if tried.outcome is not None:
            tried = self._rates[rate] = Tried(last=True)
        why = spoiled(seen)
        if why:
            return self._spoiled(tried, why)
        tried.asked += 1
        tried.hopeless += seen.cut == "hopeless"
        tried.tally = tried.tally.plus(seen)
        judged = judge(tried.tally, self._slo, FORGIVEN)
        if not judged.missed:
            tried.outcome, tried.rehearsed = "kept", careful
            return "kept", judged.reason
        # How much of a window that was cut short would have been over, nobody knows.
        unsure = judged.close or tried.asked == tried.hopeless == 1
        if unsure and tried.hopeless < 2 and tried.asked < ASKED:
            return "missed", judged.reason + AGAIN
        return self._missed(tried, judged.missed, judged.reason)

    def confirmed(self, rate: float, seen: Measured, claimed_ms: Mapping[str, float]) -> tuple[Outcome, str]:
        """Take a confirmation, with what its records allow to claim of each percentile (milliseconds)."""
        tried = self._rates.setdefault(rate, Tried())  # in a hurry there was no rehearsal
        why = spoiled(seen)
        if why:
            return self._spoiled(tried, why, undecided="kept")
        judged = judge_confirmation(Tally().plus(seen), self._slo, claimed_ms)
        if not judged.missed:
            return "kept", judged.reason
        self.missed_confirmations += 1
        return self._missed(tried, judged.missed, judged.reason)

    def _spoiled(self, tried: Tried, why: str, undecided: Outcome | None = None) -> tuple[Outcome, str]:
        """The load generator's fault. It is tried again as long as it is ``undecided``, the outcome that stays."""
        tried.spoiled += 1
        if tried.spoiled < SPOILED:
            tried.outcome = undecided
            return "unclear", why + AGAIN
        tried.outcome, tried.limit = "unclear", "load generator"
        self.spoiled_confirmations += undecided is not None
        return "unclear", why

    def _missed(self, tried: Tried, by: tuple[str, ...], reason: str) -> tuple[Outcome, str]:
        tried.outcome, tried.limit = "missed", "answers" if by == (ERRORS,) else "server"
        return "missed", reason

    def _with(self, *outcomes: Outcome) -> list[float]:
        return [rate for rate, tried in self._rates.items() if tried.outcome in outcomes]
