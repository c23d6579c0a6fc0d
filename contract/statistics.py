"""Percentiles that can be claimed, from raw samples.

A percentile is the order statistic of rank ``ceil(p * n)`` (nearest rank): a latency that some request really had. The
upper bound follows the rule of MLPerf LoadGen's early stopping (tolerance 0, confidence 0.99): "the p-quantile is at
most X" may be claimed from n independent samples of which t are above X when ``BinomialCDF(t; n, 1 - p) <= 1 - c``.

Latencies under queueing are not independent. The integrated autocorrelation time (initial positive sequence, Geyer
1992) tells how many samples one independent sample is worth; the rule is applied to that smaller
number, and where it is too small for a claim the result says how many more requests are needed instead of a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.99
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quantile:
    """A percentile: the order statistic, what may be claimed at 99 % confidence, and what a claim still needs."""

    value: float | None
    upper: float | None
    missing: int


def order_statistic(ordered: Floats, p: float) -> float:
    """Return the nearest-rank p-quantile of ascending samples."""
    return float(ordered[max(math.ceil(p * len(ordered)) - 1, 0)])


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
    if binomial_cdf(0, n, 1 - p) > 1 - confidence:
        return -1
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        if binomial_cdf(middle, n, 1 - p) <= 1 - confidence:
            low = middle
        else:
            high = middle - 1
    return low


def binomial_cdf(k: int, n: int, q: float) -> float:
    """P[X <= k] for X ~ Binomial(n, q), summed in logarithms."""
    if k >= n:
        return 1.0
    terms = np.arange(k + 1, dtype=np.float64)
    logs = _log_choose(n, terms) + terms * math.log(q) + (n - terms) * math.log1p(-q)
    peak = float(logs.max())
    return min(1.0, math.exp(peak) * float(np.exp(logs - peak).sum()))


def _log_choose(n: int, k: Floats) -> Floats:
    # log C(n, i) = sum over j <= i of log((n - j + 1) / j)
    steps = np.zeros(len(k))
    if len(k) > 1:
        j = k[1:]
        steps[1:] = np.log((n - j + 1) / j)
    return np.cumsum(steps)


def dependence(samples: Floats, p: float) -> float:
    """Return how many samples, in time order, are worth one independent sample for the p-quantile (>= 1).

    The largest of three integrated autocorrelation times: of the samples, of the indicator above their median, and of
    the indicator above the p-quantile. The last alone is measured on so few exceedances that it is often far too small,
    and a bound would then be given just where it does not hold.
    """
    ordered = np.sort(samples)
    return max(_of_the_bulk(samples, ordered), _above(samples, ordered, p))


def _of_the_bulk(samples: Floats, ordered: Floats) -> float:
    """The part of the dependence that is the same for every quantile."""
    return max(_integrated_time(samples), _above(samples, ordered, 0.5)) if len(samples) >= 4 else 1.0


def _above(samples: Floats, ordered: Floats, p: float) -> float:
    if len(samples) < 4:
        return 1.0
    return _integrated_time((samples > order_statistic(ordered, p)).astype(np.float64))


def _integrated_time(series: Floats) -> float:
    """The integrated autocorrelation time, by Geyer's initial positive sequence (1 for independent samples)."""
    n = len(series)
    centred = series - series.mean()
    variance = float(centred @ centred) / n
    if variance == 0.0:
        return 1.0
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum), size)[:n] / (n * variance)
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    kept = pairs[: negative[0]] if len(negative) else pairs
    return max(1.0, 2.0 * float(kept.sum()) - 1.0)


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
    bulk = _of_the_bulk(samples, ordered)
    return [_claimed(ordered, p, max(bulk, _above(samples, ordered, p)), confidence) for p in ps]


def _claimed(ordered: Floats, p: float, worth: float, confidence: float) -> Quantile:
    """The p-quantile and its bound, where ``worth`` samples are worth one independent sample."""
    n = len(ordered)
    independent = int(n / worth)
    over = most_over(independent, p, confidence) if independent else -1
    if over < 0:
        needed = math.ceil(least_samples(p, confidence=confidence) * worth)
        return Quantile(order_statistic(ordered, p), None, max(1, needed - n))
    # `over` of `independent` may lie above the bound: the same share of the n samples at hand.
    rank = max(n - 1 - over * n // independent, math.ceil(p * n) - 1)
    return Quantile(order_statistic(ordered, p), float(ordered[rank]), 0)


def mean_interval(samples: Floats, confidence_z: float = 2.576) -> tuple[float, float, float]:
    """Return (mean, low, high) by the normal approximation; z = 2.576 is 99 %."""
    mean = float(samples.mean())
    if len(samples) < 2:
        return mean, mean, mean
    half = confidence_z * float(samples.std(ddof=1)) / math.sqrt(len(samples))
    return mean, mean - half, mean + half
