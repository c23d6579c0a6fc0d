"""How sure the answer of a search is, all its tries taken together. Pure.

A search confirms up to ``CONFIRMATIONS`` rates and ends with the first that is kept. Each may be kept by luck, so the
error probability of the answer is up to that many times the one of a confirmation (Bonferroni). A confirmation that
holds at ``EACH`` leaves the answer with 99 %; one with too few independent samples for that, which holds at 99 % by
itself, leaves it with 97 %.
"""

from __future__ import annotations

from contract.slo import Slo
from contract.statistics import CONFIDENCE, PERCENTILES, Floats, quantile

CONFIRMATIONS = 3  # of one search, at most
EACH = 1 - (1 - CONFIDENCE) / CONFIRMATIONS


def confidence(latencies_ms: Floats, slo: Slo) -> float | None:
    """Of a search's answer, by the records of its confirmation in the order of time; None where nothing is claimed.

    All percentiles of the SLO have to hold, and the weakest of them counts: the answer is wrong only if one of them is.
    """
    levels = [_level(latencies_ms, PERCENTILES[name], limit_ms) for name, limit_ms in slo.latency_ms.items()]
    held = [level for level in levels if level is not None]
    return round(1 - CONFIRMATIONS * (1 - min(held)), 6) if len(held) == len(levels) else None


def _level(latencies_ms: Floats, p: float, limit_ms: float) -> float | None:
    """The higher confidence at which one percentile may be claimed to keep its limit; None where at none."""
    for level in (EACH, CONFIDENCE):
        upper = quantile(latencies_ms, p, level).upper
        if upper is not None and upper <= limit_ms:
            return level
    return None
