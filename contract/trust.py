"""When a stage may be trusted: the two constraints that the machine breaks and not the server, and what keeping up is.

The load test measures a stage again when one of them fails, and the report judges by the same limits. What the
in-flight limit held back does not count as late: it waited for the server, and a stage that is measured again until
its server does not stall would hide the stall.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_LATE_SHARE = 0.05
STEADY_WITHIN = 0.30
LEAST_ACHIEVED = 0.95  # of what an open loop offered in a window, answered by its end


def late_limit_ms(objective_ms: float) -> float:
    """From how many milliseconds on a send counts as late: 5 % of the tightest objective, at least one millisecond."""
    return max(1.0, 0.05 * objective_ms)


def spread(counts: Sequence[float]) -> float:
    """How far the throughput of equal parts of a window lies apart, relative to their mean."""
    mean = sum(counts) / len(counts)
    return (max(counts) - min(counts)) / mean if mean else float("inf")
