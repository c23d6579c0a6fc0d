"""What the records of a confirmation allow to claim of each percentile. Pure.

The bound is the report's (`contract/statistics.py`), at the higher confidence that several tries need. Where there are
too few independent samples for that one it is the report's own, and where there are too few for any the percentile
itself: the report then says how many requests are missing.
"""

from __future__ import annotations

from contract.slo import Slo
from contract.statistics import CONFIDENCE, PERCENTILES, Floats, quantile

CONFIRMATIONS = 3  # of one search, at most
EACH = 1 - (1 - CONFIDENCE) / CONFIRMATIONS  # Bonferroni: so that all of them together have CONFIDENCE


def claimed_ms(latencies_ms: Floats, slo: Slo) -> dict[str, float]:
    """Percentile of the SLO -> the highest value (milliseconds) that it may have, from latencies in order of time.

    No latencies, no claims: the counts say that nothing was answered.
    """
    if not len(latencies_ms):
        return {}
    return {name: _bound(latencies_ms, PERCENTILES[name]) for name in slo.latency_ms}


def _bound(latencies_ms: Floats, p: float) -> float:
    found = quantile(latencies_ms, p, EACH)
    if found.upper is None:
        found = quantile(latencies_ms, p, CONFIDENCE)
    bound = found.value if found.upper is None else found.upper
    assert bound is not None  # there are latencies
    return bound
