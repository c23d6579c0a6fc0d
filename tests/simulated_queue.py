"""A server whose true answer is a formula: one queue, first come first served, in simulated time. Exact and seeded.

Arrivals are Poisson. Service takes an exponential time (M/M/1) or always the same (M/D/1) with mean 1/mu. Departures by
Lindley's recursion, unrolled: the n-th leaves at ``c[n] + max over j <= n of (arrival[j] - c[j - 1])``, where ``c`` are
the cumulated service times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from contract.slo import Slo
from contract.statistics import PERCENTILES, Floats
from loadtest.master.asking import Cut, Measured
from loadtest.master.early import Glance, verdict
from tune.search.claim import claimed_ms
from tune.search.max_rate import MaxRate, Wanted
from tune.search.method import Method

GLANCE_S, MOST_GLANCES = 0.15, 60  # at a window, as the load test looks at it
BETWEEN_S = 0.3  # orders and reports, beside the drain
EXPONENTIAL, CONSTANT = "exponential", "constant"


@dataclass
class Queue:
    """The server. ``stalls`` of ``stall_s`` come at random, so many per second: a neighbour that takes the machine."""

    mu: float
    service: str
    slo: Slo
    seed: int
    stalls: float = 0.0
    stall_s: float = 0.1
    stages: int = 0
    latencies_ms: Floats = field(default_factory=lambda: np.zeros(0))  # of the last stage
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def measure(self, wanted: Wanted, warmup_s: float) -> Measured:
        """What a session would tell of a stage."""
        self.stages += 1
        seen = self._closed(wanted) if wanted.rate is None else self._open(wanted, wanted.rate, warmup_s)
        return seen

    def _closed(self, wanted: Wanted) -> Measured:
        """However many users there are, the server is always busy."""
        good = int(self.random.poisson(self.mu * wanted.window_s))
        return self._measured(good, dict.fromkeys(self.slo.latency_ms, 0), "", wanted.window_s, wanted.window_s)

    def _open(self, wanted: Wanted, rate: float, warmup_s: float) -> Measured:
        arrived, left = self._requests(rate, warmup_s, wanted.window_s)
        in_window = arrived >= 0
        cut, end = self._watched(wanted, arrived[in_window], left[in_window])
        counted = in_window & (arrived < end)
        self.latencies_ms = (left[counted] - arrived[counted]) * 1e3
        over = {name: int((self.latencies_ms > limit).sum()) for name, limit in self.slo.latency_ms.items()}
        drained = max(end, float(left[counted].max(initial=0.0)))
        return self._measured(int(counted.sum()), over, cut, end, warmup_s + drained + BETWEEN_S)

    def _requests(self, rate: float, warmup_s: float, window_s: float) -> tuple[Floats, Floats]:
        """When requests arrive and leave, seconds since the window's start."""
        span = warmup_s + window_s
        arrived = np.sort(self.random.uniform(-warmup_s, window_s, self.random.poisson(rate * span)))
        count = len(arrived)
        mean = 1 / self.mu
        took = self.random.exponential(mean, count) if self.service == EXPONENTIAL else np.full(count, mean)
        moments = self.random.uniform(-warmup_s, window_s, self.random.poisson(self.stalls * span))
        np.add.at(took, np.minimum(np.searchsorted(arrived, moments), max(count - 1, 0)), self.stall_s)
        worked = np.cumsum(took)
        left: Floats = worked + np.maximum.accumulate(arrived - (worked - took))
        return arrived, left

    def _watched(self, wanted: Wanted, arrived: Floats, left: Floats) -> tuple[Cut, float]:
        """Whether and when the load test would have cut the window, by its own rule."""
        window_s, planned = wanted.window_s, (wanted.rate or 0.0) * wanted.window_s
        if wanted.purpose != "probe":
            return "", window_s
        glances: list[Glance] = []
        longest = max(self.slo.latency_ms.values()) / 1e3
        for now in np.arange(0.0, window_s, max(GLANCE_S, window_s / MOST_GLANCES))[1:]:
            known = arrived < now
            waited = np.minimum(left, now) - arrived
            decided = known & ((left <= now) | (waited > longest))
            over, near = (
                {
                    name: int((known & (waited > part * limit / 1e3)).sum())
                    for name, limit in self.slo.latency_ms.items()
                }
                for part in (1.0, 0.5)
            )
            in_flight = int((known & (left > now)).sum())
            glances.append(Glance(now / window_s, int(decided.sum()), 0, 0, over, near, in_flight))
            if cut := verdict(self.slo, planned, glances):
                return cut, float(now)
        return "", window_s

    def _measured(self, due: int, over: dict[str, int], cut: Cut, window_s: float, seconds: float) -> Measured:
        return Measured(
            stage=self.stages - 1,
            due=due,
            failed=0,
            over=over,
            late=0,
            good=due,
            answered_rps=due / window_s,
            client_cpu=0.1,
            lost=[],
            aborted=False,
            cut=cut,
            window_s=window_s,
            seconds=seconds,
        )


def searched(queue: Queue, method: Method, by_counts: bool = False) -> MaxRate:
    """A search of the queue, to its end. ``by_counts``: a confirmation does not have to allow a claim as well."""
    search = MaxRate(queue.slo, method)
    while (wanted := search.next()) is not None:
        seen = queue.measure(wanted, method.warmup_s)
        claims = wanted.purpose == "confirm" and not by_counts
        search.tell(seen, claimed_ms(queue.latencies_ms, queue.slo) if claims else None)
    return search


def true_rate(service: str, mu: float, slo: Slo) -> float:
    """The highest rate that keeps one percentile, by formula (requests per second)."""
    ((name, limit_ms),) = slo.latency_ms.items()
    beyond, limit_s = 1 - PERCENTILES[name], limit_ms / 1e3
    if service == EXPONENTIAL:  # the time in the system is exponential with rate mu - lambda
        return mu + math.log(beyond) / limit_s
    low, high = 0.0, mu
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _waits_longer(middle, mu, limit_s - 1 / mu) <= beyond else (low, middle)
    return low


def _waits_longer(rate: float, mu: float, time_s: float) -> float:
    """P[W > t] of M/D/1 (Crommelin 1932). The sum alternates: good to 20 service times or so."""
    terms = (
        (-rate * (time_s - k / mu)) ** k / math.factorial(k) * math.exp(rate * (time_s - k / mu))
        for k in range(int(time_s * mu) + 1)
    )
    return 1 - (1 - rate / mu) * sum(terms)
