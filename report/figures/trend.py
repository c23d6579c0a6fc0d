"""Whether a server's memory grows: a line by least squares, with an interval that knows how memory moves. Pure.

Memory does not scatter around a line: it stays, jumps and stays. The usual interval takes every reading for new
evidence and finds a slope in nearly any such course. The interval here is made of the steps between the means of ten
consecutive parts: a single jump is one step of nine, and a leak is nine steps alike. For memory that wanders (a random
walk) the steps are all the evidence there is; for one that scatters the interval is wider than it need be. Simulated
(a test repeats it), of memory that does not grow at most 3 % is called growing.
"""

from __future__ import annotations

import math

import numpy as np

from contract.statistics import Floats
from contract.verdict import Slope

SHORTEST_S = 60.0
PARTS = 10
LEAST_READINGS = 2 * PARTS
STUDENT = 3.355  # 99.5 % quantile of Student's t with 8 degrees of freedom: nine steps
# Steps between means of a random walk's parts resemble their neighbours (correlation 1/4), so that their mean varies
# by 1 + 2 * 1/4 more than nine independent steps would let it.
ALIKE = math.sqrt(1.5)
HOUR_S = 3600.0


def slope(at_s: Floats, mib: Floats) -> tuple[Slope | None, str]:
    """The line through readings (seconds, MiB) with its 99 % interval; None with the reason where there are too few."""
    if len(at_s) < LEAST_READINGS:
        return None, f"{len(at_s)} readings of the memory, at least {LEAST_READINGS} needed"
    centred = at_s - at_s.mean()
    estimate = float(centred @ mib) / float(centred @ centred)
    times, means = (np.array([part.mean() for part in np.array_split(all_, PARTS)]) for all_ in (at_s, mib))
    steps = np.diff(means) / np.diff(times)
    half = ALIKE * STUDENT * float(steps.std(ddof=1)) / math.sqrt(len(steps))
    low, high = min(estimate, float(steps.mean()) - half), max(estimate, float(steps.mean()) + half)
    hourly = [round(HOUR_S * value, 2) + 0.0 for value in (estimate, low, high)]  # + 0.0: there is no minus zero
    return Slope(mib_per_hour=hourly[0], low=hourly[1], high=hourly[2]), ""
