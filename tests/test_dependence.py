"""How many samples are worth one: the sum of autocorrelations, against the definition and known processes."""

from __future__ import annotations

import numpy as np
import pytest

from contract.dependence import BLOCK, LAGS, Series, autocovariance, integrated_time


def by_definition(centred: Series, lags: int) -> list[float]:
    n = len(centred)
    return [float(centred[: n - lag] @ centred[lag:]) / n for lag in range(min(lags, n))]


def autoregressive(phi: float, n: int, seed: int = 1) -> Series:
    """``x = phi * x before + noise``: its integrated autocorrelation time is (1 + phi) / (1 - phi)."""
    noise = np.random.default_rng(seed).normal(size=n)
    found = np.empty(n)
    last = noise[0] / np.sqrt(1 - phi**2)
    for number in range(n):
        last = found[number] = phi * last + noise[number]
    return found


def in_one_piece(series: Series) -> float:
    """Geyer's sum over all lags of one Fourier transform."""
    n = len(series)
    centred = series - series.mean()
    spectrum = np.fft.rfft(centred, 2 * n)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n)[:n] / float(centred @ centred)
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    return float(max(1.0, 2.0 * pairs[: np.argmax(pairs <= 0)].sum() - 1.0))


@pytest.mark.parametrize("n", [1, 2, 7, 100, LAGS, LAGS + 1, BLOCK - LAGS, BLOCK + 1, 2 * BLOCK + 17])
def test_blocks_give_the_products_of_the_whole_series(n: int) -> None:
    series = np.random.default_rng(n).normal(size=n)
    for lags in (1, 5, 64):
        found = autocovariance(series, lags)
        assert found == pytest.approx(by_definition(series, lags), abs=1e-12), lags
        assert len(found) == min(lags, n)


def test_the_longest_lag_is_as_exact_as_the_first() -> None:
    series = np.random.default_rng(3).normal(size=BLOCK + 5000)
    assert autocovariance(series, LAGS)[-1] == pytest.approx(by_definition(series, LAGS)[-1], abs=1e-12)


@pytest.mark.parametrize(("phi", "n"), [(0.5, 100_000), (0.9, 200_000), (0.98, 500_000)])
def test_the_time_of_an_autoregressive_series_is_the_known_one(phi: float, n: int) -> None:
    assert integrated_time(autoregressive(phi, n)) == pytest.approx((1 + phi) / (1 - phi), rel=0.15)


@pytest.mark.parametrize("n", [100, 20_000, 60_000])
def test_where_few_lags_matter_blocks_and_one_piece_agree_to_the_last_digits(n: int) -> None:
    series = autoregressive(0.7, n)
    assert integrated_time(series) == pytest.approx(in_one_piece(series), rel=1e-9)


@pytest.mark.parametrize("kind", ["random walk", "trend", "wave", "step"])
def test_a_course_slower_than_the_lags_that_are_looked_at_one_by_one_is_not_lost(kind: str) -> None:
    n = 200_000
    noise = np.random.default_rng(4).normal(size=n)
    at = np.arange(n) / n
    slow = {
        "random walk": noise.cumsum(),
        "trend": noise + 2 * at,
        "wave": noise + np.sin(8 * at),
        "step": noise + 3.0 * (at > 0.7),
    }[kind]
    whole = in_one_piece(slow)
    assert whole > LAGS  # otherwise this would show nothing
    assert integrated_time(slow) == pytest.approx(whole, rel=0.02)


@pytest.mark.parametrize("series", [[], [1.0], [1.0, 2.0, 3.0], [5.0] * 100], ids=["none", "one", "three", "equal"])
def test_too_few_or_equal_values_are_independent(series: list[float]) -> None:
    assert integrated_time(np.array(series)) == 1.0


def test_what_takes_turns_is_worth_no_more_than_it_is() -> None:
    assert integrated_time(np.tile([1.0, -1.0], 500)) == 1.0
