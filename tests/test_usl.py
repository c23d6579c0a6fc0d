"""The Universal Scalability Law is found again in points that follow it, and refused where it would be a guess."""

from __future__ import annotations

import numpy as np
import pytest

from contract.scaling import Prediction
from tune.scale.usl import LEAST_POINTS, WORST_FIT, fit, predict, throughput


def points(rate: float, sigma: float, kappa: float, largest: int = 8) -> list[tuple[int, float]]:
    """What the law says of 1 to ``largest``."""
    numbers = np.arange(1, largest + 1)
    curve = throughput(numbers.astype(np.float64), rate, sigma, kappa)
    return [(int(n), float(value)) for n, value in zip(numbers, curve, strict=True)]


@pytest.mark.parametrize(
    ("rate", "sigma", "kappa", "peak"),
    [
        (1000.0, 0.05, 0.02, 6.892),
        (250.0, 0.3, 0.05, 3.742),
        (40.0, 0.0, 0.01, 10.0),
        (40.0, 0.9, 0.5, 1.0),  # slower from the second on
    ],
)
def test_points_of_the_law_give_back_the_law_and_its_peak(rate: float, sigma: float, kappa: float, peak: float) -> None:
    found = fit(points(rate, sigma, kappa))
    assert (found.rate, found.sigma, found.kappa) == pytest.approx((rate, sigma, kappa), abs=1e-9)
    assert found.peak == pytest.approx(peak, abs=1e-3)
    assert found.residual < 1e-9


def test_throughput_at_the_peak_is_more_than_beside_it() -> None:
    found = fit(points(1000.0, 0.05, 0.02))
    assert found.peak is not None and found.peak_rps is not None
    for beside in (found.peak - 0.1, found.peak + 0.1):
        assert throughput(np.array([beside]), found.rate, found.sigma, found.kappa)[0] < found.peak_rps


def test_linear_points_have_no_peak() -> None:
    found, reason = predict(points(100.0, 0.0, 0.0))
    assert found is not None
    assert (found.sigma, found.kappa) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert found.peak is None and found.peak_rps is None
    assert "no peak" in reason or "not in sight" in reason


def test_points_that_grow_faster_than_linear_do_not_make_a_negative_cost() -> None:
    found = fit([(n, 100.0 * n**1.05) for n in range(1, 9)])
    assert found.sigma == 0.0 and found.kappa == 0.0


def test_noise_of_two_percent_moves_the_peak_by_less_than_a_fifth() -> None:
    exact = points(1000.0, 0.05, 0.02, largest=12)
    errors = []
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(1.0, 0.02, len(exact))
        found = fit([(n, value * error) for (n, value), error in zip(exact, noise, strict=True)])
        assert found.peak is not None and found.residual < WORST_FIT
        errors.append(abs(found.peak / 6.892 - 1))
    assert max(errors) < 0.2


def test_no_other_law_with_bounds_fits_better() -> None:
    noisy = [(1, 100.0), (2, 210.0), (3, 290.0), (4, 420.0), (5, 480.0), (6, 610.0)]
    found = fit(noisy)
    n, rates = (np.array(column, dtype=np.float64) for column in zip(*noisy, strict=True))

    def misfit(rate: float, sigma: float, kappa: float) -> float:
        # of n / X(n), relative: what the fit minimises
        return float(((rates / throughput(n, rate, sigma, kappa) - 1) ** 2).sum())

    best = misfit(found.rate, found.sigma, found.kappa)
    for rate in found.rate * np.linspace(0.9, 1.1, 21):
        for sigma in np.linspace(0, 0.1, 11):
            for kappa in np.linspace(0, 0.02, 11):
                assert misfit(float(rate), float(sigma), float(kappa)) >= best - 1e-12


@pytest.mark.parametrize(
    ("measured", "shared", "words"),
    [
        (points(100.0, 0.1, 0.01, LEAST_POINTS - 1), "", f"{LEAST_POINTS - 1} different numbers"),
        ([(1, 100.0)] * LEAST_POINTS, "", "1 different numbers"),
        (points(100.0, 0.1, 0.01), "load generator and servers share all 2 cores", "share all 2 cores"),
        ([(1, 100.0), (2, 40.0), (3, 300.0), (4, 60.0), (5, 500.0)], "", "is allowed"),
        ([*points(100.0, 0.1, 0.01), (9, 0.0)], "", "nothing was answered"),
    ],
)
def test_a_guess_is_refused_with_its_reason(measured: list[tuple[int, float]], shared: str, words: str) -> None:
    found, reason = predict(measured, shared)
    assert found is None
    assert words in reason


def test_a_peak_far_beyond_what_was_measured_is_not_named() -> None:
    found, reason = predict(points(100.0, 0.02, 0.0005, LEAST_POINTS))
    assert isinstance(found, Prediction)
    assert found.kappa == pytest.approx(0.0005)
    assert found.peak is None and found.peak_rps is None
    assert "not in sight" in reason
