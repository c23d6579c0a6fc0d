"""Percentiles that can be claimed, from raw samples.

A percentile is the order statistic of rank ``ceil(p * n)`` (nearest rank): a latency that some request really had. The
upper bound follows the rule of MLPerf LoadGen's early stopping (tolerance 0, confidence 0.99): "the p-quantile is at
most X" may be claimed from n independent samples of which t are above X when ``BinomialCDF(t; n, 1 - p) <= 1 - c``.

Latencies under queueing are not independent. The integrated autocorrelation time (contract/dependence.py) tells how
many of them are worth one independent sample; the rule is applied to that smaller number, and where it is too small for
a claim the result says how many more requests are needed instead of a bound. Simulated (a test repeats it), at least
97 % of the bounds on p99 that are given cover the true one. Of runs so short that hardly one in fifty gets a bound,
these few are less reliable: of all such runs under 1 % are misled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contract.dependence import integrated_time

CONFIDENCE = 0.99
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
DEVIATIONS = 12.0  # standard deviations from the mean, and then some: what lies beyond adds less than rounding does

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quantile:
    """A percentile: the order statistic, what may be claimed at 99 % confidence, and what a claim still needs."""

    value: float | None
    upper: float | None
    missing: int


def order_statistic(ordered: Floats, p: float) -> float:
    """Return the nearest-rank p-quantile of ascending samples."""
    return float(ordered[_rank(len(ordered), p)])


def _rank(n: int, p: float) -> int:
    """Where the p-quantile stands among n ascending samples, counted from 0."""
    return max(math.ceil(p * n) - 1, 0)


@lru_cache
def least_samples(p: float, over: int = 0, confidence: float = CONFIDENCE) -> int:
    """Return the least n for which ``over`` exceedances still allow the claim about the p-quantile."""
    low, high = over + 1, over + 1
    while binomial_cdf(over, high, 1 - p) > 1 - confidence:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if binomial_cdf(over, middle, 1 - p) <= 1 - confidence:
            high = middle
        else:
            low = middle + 1
    return high


def most_over(n: int, p: float, confidence: float = CONFIDENCE) -> int:
    """Return the most exceedances among n samples that allow the claim, or -1 when not even none do."""
    first, terms = _binomial(n, 1 - p)
    return first - 1 + int(np.searchsorted(np.cumsum(terms), 1 - confidence, side="right"))


def binomial_cdf(k: int, n: int, q: float) -> float:
    """P[X <= k] for X ~ Binomial(n, q)."""
    _, terms = _binomial(n, q, k)
    return 1.0 if k >= n else min(1.0, float(terms.sum()))


def _binomial(n: int, q: float, k: int | None = None) -> tuple[int, Floats]:
    """P[X = i] for i from the returned number on, up to k if that is given, as far as it is not negligibly small."""
    mean, reach = n * q, DEVIATIONS * math.sqrt(n * q * (1 - q)) + DEVIATIONS**2
    middle, last = (mean, n) if k is None else (min(k, mean), min(k, n))
    first = max(0, math.floor(middle - reach))
    i = np.arange(first, min(last, math.ceil(mean + reach)) + 1, dtype=np.float64)
    # Of n over i, each is the one before it times (n - i + 1) / i; of that and the powers, the logarithms.
    chosen = np.concatenate(([_log_choose(n, first)], np.log((n - i[1:] + 1) / i[1:]))).cumsum()
    return first, np.exp(chosen + i * math.log(q) + (n - i) * math.log1p(-q))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def dependence(samples: Floats, p: float) -> float:
    """Return how many samples, in time order, are worth one independent sample for the p-quantile (>= 1).

    The largest of three integrated autocorrelation times: of the samples, of the indicator above their median, and of
    the indicator above the p-quantile. The last alone is measured on so few exceedances that it is often far too small,
    and a bound would then be given just where it does not hold.
    """
    return _worths(samples, np.sort(samples), [p])[0]


def _worths(samples: Floats, ordered: Floats, ps: Sequence[float]) -> list[float]:
    """The dependence for several quantiles: most of the work is the same for all."""
    if not len(samples):
        return [1.0] * len(ps)
    above = {p: _of_those_above(samples, order_statistic(ordered, p)) for p in {0.5, *ps}}
    bulk = max(integrated_time(samples), above[0.5])
    return [max(bulk, above[p]) for p in ps]


def _of_those_above(samples: Floats, limit: float) -> float:
    return integrated_time((samples > limit).astype(np.float64))


def quantile(samples: Floats, p: float, confidence: float = CONFIDENCE) -> Quantile:
    """The p-quantile of samples in time order, with an upper bound that respects their dependence.

    ``upper`` is None when too few (independent) samples are there; ``missing`` says how many more requests a bound
    needs.
    """
    return quantiles(samples, [p], confidence)[0]


def quantiles(samples: Floats, ps: Sequence[float], confidence: float = CONFIDENCE) -> list[Quantile]:
    """Several quantiles of the same samples, as `quantile` gives them."""
    if len(samples) == 0:
        return [Quantile(None, None, least_samples(p, confidence=confidence)) for p in ps]
    ordered = np.sort(samples)
    worths = _worths(samples, ordered, ps)
    return [_claimed(ordered, p, worth, confidence) for p, worth in zip(ps, worths, strict=True)]


def _claimed(ordered: Floats, p: float, worth: float, confidence: float) -> Quantile:
    """The p-quantile and its bound, where ``worth`` samples are worth one independent sample."""
    n = len(ordered)
    independent = int(n / worth)
    over = most_over(independent, p, confidence) if independent else -1
    if over < 0:
        needed = math.ceil(least_samples(p, confidence=confidence) * worth)
        return Quantile(order_statistic(ordered, p), None, max(1, needed - n))
    # `over` of `independent` may lie above the bound: the same share of the n samples at hand.
    rank = max(n - 1 - over * n // independent, _rank(n, p))
    return Quantile(order_statistic(ordered, p), float(ordered[rank]), 0)


def quantile_intervals(
    samples: Floats, ps: Sequence[float], confidence: float = CONFIDENCE
) -> list[tuple[float, float, float] | None]:
    """(quantile, low, high) of samples in time order for each p; None where they are too few for an interval.

    The ends are order statistics between which the quantile lies, whatever the distribution (as `quantile`'s bound, on
    both sides), among as many independent samples as these are worth.
    """
    ordered = np.sort(samples)
    worths = _worths(samples, ordered, ps)
    return [_between(ordered, p, worth, (1 + confidence) / 2) for p, worth in zip(ps, worths, strict=True)]


def _between(ordered: Floats, p: float, worth: float, one_sided: float) -> tuple[float, float, float] | None:
    n = len(ordered)
    independent = int(n / worth)
    fewest = most_over(independent, p, one_sided) if independent else -1
    if fewest < 0:
        return None
    first, terms = _binomial(independent, 1 - p)
    most = first + 1 + int(np.searchsorted(np.cumsum(terms), one_sided))
    if most > independent:
        return None
    # So many of the independent samples may lie above: the same share of the n samples at hand.
    low, high = n - math.ceil(most * n / independent), n - 1 - fewest * n // independent
    value = _rank(n, p)
    return float(ordered[value]), float(ordered[min(low, value)]), float(ordered[max(high, value)])


def most_within(width: float, ascending: Floats | NDArray[np.int64]) -> int:
    """The most of these moments within one ``width``, in their unit, wherever it begins; 0 where there is none."""
    if not len(ascending):
        return 0
    return int((np.searchsorted(ascending, ascending + width) - np.arange(len(ascending))).max())


def mean_interval(samples: Floats, confidence_z: float = 2.576) -> tuple[float, float, float]:
    """Return (mean, low, high) by the normal approximation; z = 2.576 is 99 %."""
    mean = float(samples.mean())
    if len(samples) < 2:
        return mean, mean, mean
    half = confidence_z * float(samples.std(ddof=1)) / math.sqrt(len(samples))
    return mean, mean - half, mean + half
