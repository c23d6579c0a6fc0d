"""The range of rates in which a search looks, and its steps before the answer is enclosed. Pure.

Rates are requests per second, rounded to four digits: read more easily, and finer than any resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.search import Limit

BEGIN = 0.75  # of the knee
STEP = 4  # powers of the resolution from one rate to the next, at least
FARTHEST = 2.0  # from one rate to the next; and times the spare capacity, for an overload says little of how far
SUSPICIOUS = 0.5  # of the knee
LAST = 1.5  # times the spare capacity that the last confirmation seems to need
FALL = 8  # powers of the resolution from one confirmation to the next, at most
FAR = 10.0  # times the knee: no open loop is answered so much faster than a busy closed one
GIVEN_UP = 20.0  # a server that does not keep this part of what the model's users want is of no interest


@dataclass(frozen=True)
class Top:
    """A rate that must not be exceeded, and what stands in the way."""

    rate: float
    limit: Limit


@dataclass(frozen=True)
class Span:
    """Where to look. ``knee`` is the most answers per second of a closed loop, or what is expected instead of it.

    ``demand`` is the rate that the SLO asks for, ``tops`` are ceilings.
    """

    knee: float
    demand: float
    resolution: float
    tops: Sequence[Top] = ()

    @property
    def top(self) -> Top:
        """The lowest of the ceilings."""
        return min([*self.tops, Top(FAR * self.knee, "range")], key=lambda top: top.rate)

    @property
    def floor(self) -> float:
        """Below it the search gives up."""
        return min(self.demand / GIVEN_UP, self.top.rate)

    @property
    def begin(self) -> float:
        """The first rate that is tried."""
        return min(rounded(max(BEGIN * self.knee, self.floor)), self.top.rate)

    def above(self, kept: float) -> float:
        """The next rate while all are kept."""
        return min(rounded(kept * self._step(kept / self.begin)), self.top.rate)

    def below(self, missed: float) -> float | None:
        """The next rate while all are missed; None at the floor."""
        if missed <= self.floor:
            return None
        return max(rounded(missed / self._step(self.begin / missed)), self.floor)

    def after(self, missed: float, times_the_limit: float, again: bool) -> float:
        """What may be confirmed after a confirmation at ``missed`` whose latency was so many times what is allowed.

        A queue's latency is inversely proportional to the capacity that is to spare, and the knee is the capacity.
        What may be claimed nears the latency itself with it: half of the way (geometrically) is enough as a rule. A
        confirmation that was missed ``again`` is followed by the last one, which goes farther than all of it: a low
        answer is better than none. Where nothing is known of the latency the next lower rate follows.
        """
        step, times = 1 + self.resolution, min(times_the_limit, FARTHEST)
        next_one = missed / step
        if times > 1:
            roomy = self.knee - max(0.0, self.knee - missed) * (LAST * times if again else math.sqrt(times))
            next_one = min(max(roomy, missed / step**FALL), missed / step ** (STEP if again else 1))
        return max(self.floor, rounded(next_one))

    def _step(self, gone: float) -> float:
        """As far again as the search has ``gone`` from where it began: it doubles, by ``FARTHEST`` at most."""
        return min(max(gone, (1 + self.resolution) ** STEP), max(FARTHEST, (1 + self.resolution) ** STEP))

    def suspicious(self, kept: float) -> bool:
        """Whether a rate is so far below the knee that the machine may have been busy while higher ones were tried."""
        return kept < SUSPICIOUS * self.knee


def rounded(rate: float) -> float:
    """Four digits."""
    return float(f"{rate:.4g}")
