"""What came out of a stage in its windows: throughput and median latency over time. Pure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from contract.statistics import Floats
from contract.verdict import Point

COURSE_POINTS = 10


def course(done_s: Floats, latency_ms: Floats, seconds: float) -> list[Point]:
    """Equal steps through the windows. ``done_s`` says when each answer came, in any order, ``latency_ms`` how late."""
    edges = np.linspace(0.0, seconds, COURSE_POINTS + 1)
    width = seconds / COURSE_POINTS
    points = []
    for start, end in pairwise(edges):
        inside = latency_ms[(done_s >= start) & (done_s < end)]
        median = round(float(np.median(inside)), 3) if len(inside) else None
        points.append(
            Point(t_s=round(float(start + width / 2), 3), throughput_rps=round(len(inside) / width, 1), p50_ms=median)
        )
    return points
