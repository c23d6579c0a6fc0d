"""What the records of a confirmation allow to claim of each percentile. Pure.

The bound is the report's (`contract/statistics.py`), at the higher confidence that several tries need. Where there are
too few independent samples for that one it is the report's own, and where there are too few for any the percentile
itself. Which of the three it was, the report finds out on the same records and says (`report/figures/claim.py`).
"""

from __future__ import annotations

from contract.slo import Slo
from contract.statistics import CONFIDENCE, PERCENTILES, Floats, quantile
from report.figures.claim import CONFIRMATIONS, EACH

__all__ = ["CONFIRMATIONS", "claimed_ms"]


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
