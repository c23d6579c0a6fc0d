"""When a window may end before its time: nothing that is still to come can change what it says. Pure decisions.

``hopeless`` is certain: more requests are over an objective than a whole window may have, and more than the judge of a
probe forgives of any. ``clear`` is a bet, and only steers a search: at least half of the window is over, the percentile
could be claimed of what has come (by the rule of `contract/statistics.py`), a quarter at most of what is allowed was
over, the percentile keeps even half of its limit, and the queue does not grow. The last two are for rates around
saturation: there latencies are fine until the queue has become as long as the objective allows, which may take longer
than half of a window. On simulated M/M/1 and M/D/1 queues 3 % at most of the windows that would have missed are called
clear, at any rate; without them up to 20 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.slo import Slo
from contract.statistics import CONFIDENCE, PERCENTILES, binomial_cdf
from contract.trust import MOST_LATE_SHARE
from loadtest.master.asking import Cut
from loadtest.process.orders import Progress

FORGIVEN = 1  # slow or failed request of a probe: of a window with few requests one says nothing
SIGMAS = 4.0  # a Poisson schedule has more arrivals than this above its mean once in 30,000 windows
CLEAR_FROM = 0.5  # of the window
CLEAR_SHARE = 0.25  # of what is allowed
GROWTH, GROWTH_BY = 1.25, 1.0  # the second half's mean in flight, against the first half's
FEWEST_GLANCES = 8  # at what is in flight


@dataclass(frozen=True)
class Glance:
    """A window as it is now, over all load processes."""

    elapsed: float  # share of the window
    due: int  # decided requests: answered, failed, or over every objective already
    late: int
    failed: int
    over: dict[str, int]  # percentile -> failed, or slower than its objective
    near: dict[str, int]  # percentile -> failed, or slower than half of its objective
    in_flight: int


def together(progress: Sequence[Progress], elapsed: float) -> Glance:
    """What the load processes tell, in one."""
    names = sorted({name for item in progress for name in item.over})
    return Glance(
        elapsed=elapsed,
        due=sum(item.due for item in progress),
        late=sum(item.late for item in progress),
        failed=sum(item.failed for item in progress),
        over={name: sum(item.over.get(name, 0) for item in progress) for name in names},
        near={name: sum(item.near.get(name, 0) for item in progress) for name in names},
        in_flight=sum(item.in_flight for item in progress),
    )


def verdict(slo: Slo, planned: float, glances: Sequence[Glance], forgiven: int = FORGIVEN) -> Cut:
    """Whether the window ends now. ``planned`` requests are expected in all of it; glances in order of time.

    So many requests are ``forgiven`` whatever their share, as whoever judges the window does it: of a probe. What is
    judged more strictly may be told so, and ends sooner; with the default it ends later, never wrongly.
    """
    if not glances:
        return ""
    if hopeless(slo, planned, glances[-1], forgiven):
        return "hopeless"
    return "clear" if clear(slo, glances) else ""


def hopeless(slo: Slo, planned: float, now: Glance, forgiven: int = FORGIVEN) -> bool:
    """Whether the whole window must miss an objective, even if every request to come is answered at once.

    Without what is ``forgiven`` a window that may have less than one bad request would end at its first one, and the
    little that was seen until then would be judged, and forgiven.
    """
    most = planned + SIGMAS * math.sqrt(planned)
    slow = any(now.over[name] > max(forgiven, (1 - PERCENTILES[name]) * most) for name in slo.latency_ms)
    return slow or now.failed > max(forgiven, slo.error_rate * most)


def clear(slo: Slo, glances: Sequence[Glance]) -> bool:
    """Whether what has come passes by so much that the rest would hardly change it."""
    now = glances[-1]
    if now.elapsed < CLEAR_FROM or now.late > MOST_LATE_SHARE * now.due:
        return False
    if now.failed > CLEAR_SHARE * slo.error_rate * now.due:
        return False
    for name in slo.latency_ms:
        over, allowed = now.over[name], 1 - PERCENTILES[name]
        if over > CLEAR_SHARE * allowed * now.due or now.near[name] > allowed * now.due:
            return False
        if binomial_cdf(over, now.due, allowed) > 1 - CONFIDENCE:
            return False
    return not grows([item.in_flight for item in glances])


def grows(in_flight: Sequence[int]) -> bool:
    """Whether the queue may be growing: what was in flight at equally spaced glances, and too few of them may be."""
    if len(in_flight) < FEWEST_GLANCES:
        return True
    half = len(in_flight) // 2
    first, second = sum(in_flight[:half]) / half, sum(in_flight[-half:]) / half
    return second > GROWTH * first + GROWTH_BY
