"""How a search is made: its resolution, and how long each of its windows is. Fixed before the first step. Pure.

Rates are requests per second, times seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from contract.slo import Slo
from contract.statistics import PERCENTILES, least_samples

EXPECTED_OVER = 15  # requests beyond a percentile that is just kept: fewer say little about its share
OVERLOAD_SHOWS = 1.5  # times the time in which a rate too high by the resolution builds a queue as long as the limit
SPARE = 1.25  # more requests than a claim needs when one is slow: arrivals are random and samples depend
LONGEST_CONFIRM_S = 300.0
LEAST_SHORTEST_S, LEAST_CONFIRM_S = 1.0, 5.0
DEAD_S = 0.5  # between two windows: a drain, and the order for the next one


@dataclass(frozen=True)
class Method:
    """The settings of a search. ``users`` are the closed loops whose answers per second say where to begin."""

    resolution: float = 0.05
    probe_s: float = 6.0
    confirm_s: float = 20.0
    shortest_s: float = 1.5
    warmup_s: float = 0.5
    users: tuple[int, ...] = (16, 64)

    def probe_window(self, rate: float, slo: Slo, careful: bool = False) -> float:
        """Long enough to count what is slow and to see an overload of one resolution; at most ``probe_s``.

        A ``careful`` window is the longest: for a rate that is asked again.
        """
        if careful:
            return self.probe_s
        enough = EXPECTED_OVER / ((1 - _highest(slo)) * rate)
        shows = OVERLOAD_SHOWS * max(slo.latency_ms.values()) / 1e3 / self.resolution
        return round(min(self.probe_s, max(self.shortest_s, enough, shows)), 2)

    def confirm_window(self, rate: float, slo: Slo) -> float:
        """``confirm_s``, or longer where the rate is so low that the highest percentile could not be claimed."""
        needed = SPARE * least_samples(_highest(slo), over=1) / rate
        return round(max(self.confirm_s, min(LONGEST_CONFIRM_S, needed)), 2)

    def grid_seconds(self, lowest: float, highest: float, slo: Slo) -> float:
        """What stages at every rate from ``lowest`` to ``highest`` would take, and the confirmation that they need too.

        The grid has the search's resolution, and its windows without an early end; drains are not counted.
        """
        points = math.ceil(math.log(max(1.0, highest / lowest)) / math.log1p(self.resolution)) + 1
        rates = [lowest * (1 + self.resolution) ** point for point in range(points)]
        probes = sum(self.warmup_s + self.probe_window(rate, slo) for rate in rates)
        return probes + self.warmup_s + self.confirm_window(highest, slo)

    def shrunk(self, share: float) -> Method:
        """The same method with windows of that share of their length, but for those that a claim needs."""
        return replace(
            self,
            probe_s=max(LEAST_SHORTEST_S, self.probe_s * share),
            shortest_s=max(LEAST_SHORTEST_S, self.shortest_s * share),
            confirm_s=max(LEAST_CONFIRM_S, self.confirm_s * share),
        )


def _highest(slo: Slo) -> float:
    """The highest percentile that is promised, as a share: it needs the most requests."""
    return max(PERCENTILES[name] for name in slo.latency_ms)
