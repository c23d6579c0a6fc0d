"""Whether a server holds over a long stage: its memory's slope, its p99 and its errors from part to part. Pure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contract.statistics import Floats, order_statistic
from contract.verdict import Endurance, Slice
from report.figures.series import Samples, Window
from report.figures.server_side import memory_trend

MOST_SLICES = 10
LEAST_GOOD = 500  # good answers of a slice: five are then slower than its p99
NO_SAMPLES = "the servers were not sampled"


def endurance(
    window: Window, intended_s: Floats, latency_ms: Floats, good: NDArray[np.bool_], samples: Samples | None
) -> Endurance:
    """Judge one long window.

    ``intended_s`` are seconds since its start in order, ``latency_ms`` the latencies of all its requests from the
    intended send, ``good`` (bool) which of them had a good answer.
    """
    seconds = (window[1] - window[0]) / 1e9
    slices = _slices(seconds, intended_s, latency_ms, good)
    p99 = [item.p99_ms for item in slices if item.p99_ms is not None]
    found, why = memory_trend(samples.of(samples.engine), window) if samples else (None, NO_SAMPLES)
    absent = {} if found else {"memory_slope": why}
    if len(p99) < 2:
        absent["p99_change"] = f"fewer than two parts of the stage have {LEAST_GOOD} good answers"
    return Endurance(
        memory_slope=found,
        p99_change=round(p99[-1] / p99[0] - 1, 4) if len(p99) >= 2 else None,
        slices=slices,
        absent=absent,
    )


def _slices(seconds: float, intended_s: Floats, latency_ms: Floats, good: NDArray[np.bool_]) -> list[Slice]:
    """At most ten equal parts, fewer where ten would hold too few answers for a p99 on average."""
    count = max(1, min(MOST_SLICES, int(np.sum(good)) // LEAST_GOOD))
    which = np.minimum((intended_s * count / seconds).astype(int), count - 1)
    edges = np.searchsorted(which, np.arange(count + 1)).tolist()
    found = []
    for number, (first, end) in enumerate(pairwise(edges)):
        answered = np.sort(latency_ms[first:end][good[first:end]])
        found.append(
            Slice(
                t_s=round((number + 0.5) * seconds / count, 3),
                requests=end - first,
                failed=end - first - len(answered),
                p99_ms=round(order_statistic(answered, 0.99), 3) if len(answered) >= LEAST_GOOD else None,
            )
        )
    return found
