"""How many samples, in time order, are worth one independent sample: the integrated autocorrelation time.

Latencies under queueing resemble their neighbours. The autocorrelations are summed from lag 0 on, two by two, until a
pair is not positive (initial positive sequence, Geyer 1992): ``tau = 2 * (rho_0 + rho_1 + ...) - 1``.

The first ``LAGS`` lags are those of the samples themselves, taken in blocks, so that ten million samples need no more
memory than some thousand. Where samples still resemble each other so far apart, the longer lags are those of the means
of ``JOINED`` neighbours, and so on: so slow a course is not lost by averaging over a small part of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]  # one value per request, in the order of time

LEAST = 4
LAGS = 4096
JOINED = 16
BLOCK = 1 << 15  # values of one Fourier transform: small enough for a processor's cache


def integrated_time(series: Series) -> float:
    """The integrated autocorrelation time of a series: at least 1, for independent values and for too few to tell."""
    if len(series) < LEAST:
        return 1.0
    values = series - series.mean()
    variance = float(values @ values) / len(values)
    if variance == 0.0:
        return 1.0
    total, unit, first = 0.0, 1, 0
    while True:
        pairs = _pairs(autocovariance(values, LAGS)[first:]) * (unit / variance)
        negative = np.flatnonzero(pairs <= 0)
        total += float(pairs[: negative[0]].sum() if len(negative) else pairs.sum())
        if len(negative) or len(values) <= LAGS:
            return max(1.0, 2.0 * total - 1.0)
        values = _joined(values)
        unit, first = unit * JOINED, LAGS // JOINED


def autocovariance(centred: Series, lags: int) -> Series:
    """Mean products of a series of mean 0 with itself, 0 to ``lags`` - 1 (or all there are) values later.

    Each is divided by the length of the whole series. By Fourier transforms: a block of ``step`` values is multiplied
    with the same block and the ``lags`` values after it, so that no product goes around the end.
    """
    count = len(centred)
    lags = min(lags, count)
    size = min(max(BLOCK, 2 * lags), 1 << (count + lags - 1).bit_length())
    step = size - lags
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    for start in range(0, count, step):
        block = np.fft.rfft(centred[start : start + step], size)
        ahead = np.fft.rfft(centred[start : start + size], size)
        spectrum += np.conj(block) * ahead
    found: Series = np.fft.irfft(spectrum, size)[:lags] / count
    return found


def _pairs(values: Series) -> Series:
    """Sums of each two neighbours."""
    found: Series = values[: len(values) // 2 * 2].reshape(-1, 2).sum(axis=1)
    return found


def _joined(values: Series) -> Series:
    """Means of each ``JOINED`` neighbours; what is left at the end makes none."""
    found: Series = values[: len(values) // JOINED * JOINED].reshape(-1, JOINED).mean(axis=1)
    return found
