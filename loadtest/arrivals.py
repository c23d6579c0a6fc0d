"""Open-loop arrivals: when the schedule wants each request sent. Pure functions of rate and seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CHUNK = 4096
NANOSECONDS = 1_000_000_000


def poisson(rate: float, seed: int) -> Iterator[int]:
    """Yield ascending offsets in nanoseconds of a Poisson process with ``rate`` arrivals per second, without end."""
    random = np.random.default_rng(seed)
    last = 0.0
    while True:
        times = last + np.cumsum(random.exponential(NANOSECONDS / rate, CHUNK))
        last = float(times[-1])
        yield from times.astype(np.int64).tolist()


def choices(count: int, seed: int) -> Iterator[int]:
    """Yield uniformly drawn indices below ``count``, without end."""
    random = np.random.default_rng(seed)
    while True:
        yield from random.integers(0, count, CHUNK).tolist()
