"""The figures of one stage, measured again and again within a run: by rounds, or by blocks of a long stage. Pure.

A round begins anew: warm-up, connections, everything that runs beside it. It is the replication of choice. A run of
one long stage has no rounds; there, consecutive blocks of its window may stand for them under two conditions:

- A block is at least `TIMES` autocorrelation times long (``contract.statistics.dependence`` of the latencies, for the
  99th percentile). The means of adjacent blocks then correlate by about 1/(2*TIMES) = 2.5 % or less, which widens an
  interval's true spread by a hundredth or two: the method of batch means (Law and Kelton, chapter 9).
- A block holds at least `LEAST_ANSWERS` good answers, so that its p99 has five answers above it.

What blocks cannot see is what changes between two starts of a server or two hours of a machine. Rounds see some of
it, and only whole runs see all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from contract.statistics import PERCENTILES, Floats, dependence, order_statistic
from tune.comparison.regression import LEAST

TIMES = 20
LEAST_ANSWERS = 500
MOST_BLOCKS = 2 * LEAST  # of a whole run: more of them would be shorter, not better


@dataclass(frozen=True)
class Round:
    """One window: its length, its good requests in the order of being due, and when good answers came within it.

    Seconds are since the window's start, latencies milliseconds from the intended send.
    """

    seconds: float
    due_s: Floats
    latency_ms: Floats
    answered_s: Floats

    def part(self, begin_s: float, end_s: float) -> Round:
        """The same of a part of the window."""
        due = (self.due_s >= begin_s) & (self.due_s < end_s)
        answered = (self.answered_s >= begin_s) & (self.answered_s < end_s)
        return Round(end_s - begin_s, self.due_s[due], self.latency_ms[due], self.answered_s[answered])

    def figure(self, name: str) -> float | None:
        """``throughput`` in answers per second, or a percentile in milliseconds; None without a good answer."""
        if not len(self.latency_ms) or not len(self.answered_s):
            return None
        if name == "throughput":
            return len(self.answered_s) / self.seconds
        return order_statistic(np.sort(self.latency_ms), PERCENTILES[name])


def values(rounds: Sequence[Round], figure: str) -> Floats:
    """One value per round, of those that had good answers."""
    found = [item.figure(figure) for item in rounds]
    return np.array([value for value in found if value is not None], dtype=np.float64)


def blocks(rounds: Sequence[Round]) -> list[Round]:
    """The rounds cut into equal blocks of time that may stand for rounds; empty where they are too short for it."""
    if not rounds:
        return []
    shortest = min(_most_blocks(item) for item in rounds)
    each = min(shortest, -(-MOST_BLOCKS // len(rounds)))
    if each * len(rounds) < LEAST:
        return []
    edges = [np.linspace(0.0, item.seconds, each + 1) for item in rounds]
    return [
        item.part(begin, end)
        for item, cuts in zip(rounds, edges, strict=True)
        for begin, end in pairwise(cuts.tolist())
    ]


def _most_blocks(item: Round) -> int:
    """Into how many blocks a window may be cut."""
    answers = len(item.latency_ms)
    return int(answers / max(LEAST_ANSWERS, TIMES * dependence(item.latency_ms, 0.99))) if answers else 0
