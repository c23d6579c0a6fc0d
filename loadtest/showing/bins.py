"""Percentiles of a stage that is still on, without keeping or sorting its samples: counts in bins one per cent wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

LEAST_MS, MOST_MS = 0.01, 600_000.0
WIDTH = 1.01
EDGES = LEAST_MS * WIDTH ** np.arange(int(np.log(MOST_MS / LEAST_MS) / np.log(WIDTH)) + 2)


class Bins:
    """Milliseconds, counted. What is looked at several times a second may not cost a load process a sort."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(EDGES) + 1, dtype=np.int64)

    def add(self, values_ms: Iterable[float]) -> None:
        """Count some more of them."""
        places = np.searchsorted(EDGES, np.fromiter(values_ms, dtype=np.float64))
        self._counts += np.bincount(places, minlength=len(self._counts))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._counts.sum())

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """The upper ends of the bins that the percentiles lie in: at most 1 % too high. Needs a value."""
        ends = np.append(EDGES, MOST_MS)
        ranks = np.maximum(np.ceil(np.array(shares) * self.count), 1)
        return [float(ends[place]) for place in np.searchsorted(np.cumsum(self._counts), ranks)]
