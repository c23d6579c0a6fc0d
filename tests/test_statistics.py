"""Percentiles that can be claimed: LoadGen's table, order statistics, bounds that cover the truth under queueing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from contract.statistics import (
    PERCENTILES,
    Floats,
    Quantile,
    binomial_cdf,
    dependence,
    least_samples,
    mean_interval,
    most_over,
    order_statistic,
    quantile,
    quantile_intervals,
)


@pytest.mark.parametrize(
    ("p", "over", "least"),
    [
        (0.95, 0, 90),
        (0.95, 1, 130),
        (0.95, 10, 398),
        (0.99, 0, 459),
        (0.99, 1, 662),
        (0.99, 10, 2010),
        (0.99, 100, 12571),
        (0.999, 0, 4603),
        (0.999, 1, 6636),
        (0.999, 10, 20140),
    ],
)
def test_least_samples_is_loadgen_s_early_stopping_table(p: float, over: int, least: int) -> None:
    assert least_samples(p, over) == least


@pytest.mark.parametrize(("p", "over"), [(0.5, 0), (0.9, 3), (0.95, 1), (0.99, 0), (0.99, 10), (0.999, 2)])
def test_most_over_is_the_inverse_of_least_samples(p: float, over: int) -> None:
    least = least_samples(p, over)
    assert most_over(least, p) == over
    assert most_over(least - 1, p) == over - 1


@pytest.mark.parametrize("n", [0, 1, 458])
def test_too_few_samples_allow_not_even_none_over(n: int) -> None:
    assert most_over(n, 0.99) == -1


def test_a_lower_confidence_needs_fewer_samples() -> None:
    assert least_samples(0.99, confidence=0.95) == 299
    assert most_over(299, 0.99, confidence=0.95) == 0


@pytest.mark.parametrize(
    ("k", "n", "q"),
    [(0, 1, 0.5), (0, 10, 0.1), (3, 10, 0.1), (5, 30, 0.25), (12, 40, 0.3), (9, 10, 0.9), (10, 10, 0.9)],
)
def test_binomial_cdf_is_the_sum_of_its_terms(k: int, n: int, q: float) -> None:
    exact = sum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k + 1))
    assert binomial_cdf(k, n, q) == pytest.approx(exact, rel=1e-12)


def test_binomial_cdf_neither_overflows_nor_underflows_where_samples_are_many() -> None:
    assert binomial_cdf(10_000, 1_000_000, 0.01) == pytest.approx(0.5, abs=0.01)
    assert binomial_cdf(0, 1_000_000, 0.5) == 0.0
    assert binomial_cdf(999_999, 1_000_000, 0.5) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "p", "rank"),
    [
        (1, 0.5, 1),
        (1, 0.9999, 1),
        (2, 0.5, 1),
        (3, 0.5, 2),
        (10, 0.9, 9),
        (20, 0.95, 19),
        (99, 0.99, 99),
        (100, 0.99, 99),
        (101, 0.99, 100),
        (1000, 0.999, 999),
        (10000, 0.9999, 9999),
    ],
)
def test_a_percentile_is_the_order_statistic_of_nearest_rank(n: int, p: float, rank: int) -> None:
    assert order_statistic(np.arange(1.0, n + 1), p) == rank


def test_nearest_rank_is_not_shifted_by_rounding() -> None:
    for p, n in itertools.product(PERCENTILES.values(), range(1, 3001)):
        exact = -(-n * round(p * 10_000) // 10_000)
        assert order_statistic(np.arange(1.0, n + 1), p) == exact, (p, n)


def test_a_percentile_is_never_interpolated_or_rounded() -> None:
    samples = np.array([147.123456, 1.0, 150.0])
    assert quantile(samples, 0.5).value == 147.123456


@pytest.mark.parametrize(
    ("n", "p", "upper", "missing"),
    [
        (89, 0.95, None, 1),
        (90, 0.95, 90.0, 0),
        (458, 0.99, None, 1),
        (459, 0.99, 459.0, 0),
        (662, 0.99, 661.0, 0),
        (2010, 0.99, 2000.0, 0),
    ],
)
def test_the_upper_bound_is_the_sample_with_as_many_above_as_the_table_allows(
    n: int, p: float, upper: float | None, missing: int
) -> None:
    """Exceedances that lie evenly over time are not correlated, so the table applies to n itself."""
    samples = even(n, p)
    assert dependence(samples, p) == 1.0
    assert quantile(samples, p) == Quantile(order_statistic(np.arange(1.0, n + 1), p), upper, missing)


def even(n: int, p: float) -> Floats:
    """The numbers 1 … n: low and high take turns, and those above the p-quantile lie evenly among the high ones."""
    random = np.random.default_rng(3)
    ordered = np.arange(1.0, n + 1)
    low, high, over = np.split(ordered, [(n + 1) // 2, math.ceil(p * n)])
    places = np.linspace(0, len(high), len(over), endpoint=False).astype(int)
    samples = np.empty(n)
    samples[::2] = random.permutation(low)
    samples[1::2] = np.insert(random.permutation(high), places, over)
    return samples


def test_the_bound_is_never_below_the_value() -> None:
    random = np.random.default_rng(1)
    for n in (1, 10, 500, 3000):
        samples = random.lognormal(size=n)
        for p in PERCENTILES.values():
            found = quantile(samples, p)
            assert found.value is not None
            assert found.upper is None or found.upper >= found.value
            assert (found.upper is None) == (found.missing > 0)


def test_no_samples_give_no_value_and_say_what_a_claim_needs() -> None:
    assert quantile(np.array([]), 0.99) == Quantile(None, None, 459)


def test_one_sample_is_every_percentile_and_no_claim() -> None:
    assert quantile(np.array([7.0]), 0.99) == Quantile(7.0, None, 458)


def test_equal_samples_are_their_own_bound() -> None:
    assert quantile(np.full(1000, 3.0), 0.99) == Quantile(3.0, 3.0, 0)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_dependence_of_almost_nothing_is_one(n: int) -> None:
    assert dependence(np.arange(float(n)), 0.99) == 1.0


def test_dependence_of_independent_draws_is_about_one() -> None:
    samples = np.random.default_rng(5).exponential(size=20_000)
    assert 1.0 <= dependence(samples, 0.99) < 1.5


def test_dependence_of_samples_repeated_k_times_is_at_least_k() -> None:
    """Each draw k times in a row: k samples are worth one."""
    samples = np.repeat(np.random.default_rng(6).exponential(size=4_000), 8)
    assert 7.0 < dependence(samples, 0.9) < 16.0


def test_dependent_samples_need_more_requests_for_a_claim() -> None:
    draws = np.random.default_rng(7).exponential(size=200)
    alone, repeated = quantile(draws, 0.99), quantile(np.repeat(draws, 4), 0.99)
    assert alone.upper is None and repeated.upper is None
    assert repeated.missing > 459 - 200


def test_a_step_in_the_course_of_a_run_leaves_no_claim() -> None:
    """One stall of 3 % of the run is one event, however many requests it hit."""
    samples = np.random.default_rng(8).exponential(size=2_000)
    samples[1_000:1_060] += 100.0
    assert quantile(samples, 0.99).upper is None


def test_the_mean_s_interval_is_symmetric_and_99_percent_wide() -> None:
    mean, low, high = mean_interval(np.array([1.0, 3.0]))
    assert mean == 2.0
    assert high - mean == pytest.approx(2.576 * math.sqrt(2.0) / math.sqrt(2.0))
    assert mean - low == pytest.approx(high - mean)


def test_the_mean_of_one_sample_has_no_width() -> None:
    assert mean_interval(np.array([4.0])) == (4.0, 4.0, 4.0)


def alternating(n: int) -> Floats:
    """1 to n, a low one after a high one: each worth one independent sample at least."""
    random = np.random.default_rng(9)
    low, high = (random.permutation(np.arange(start, start + n // 2, dtype=np.float64)) for start in (1, n // 2 + 1))
    return np.column_stack([high, low]).ravel()


def test_an_interval_ends_where_the_binomial_tails_are_half_a_hundredth_each() -> None:
    ((value, low, high),) = filter(None, quantile_intervals(alternating(1000), [0.5]))
    # Of 1,000 tosses at most 458 are heads with a chance of 0.43 %, at most 459 with one of 0.52 %.
    assert (value, low, high) == (500.0, 459.0, 542.0)


def test_too_few_samples_have_no_interval() -> None:
    assert quantile_intervals(alternating(500), [0.5, 0.99])[1] is None
    assert quantile_intervals(np.empty(0), [0.5]) == [None]


def test_dependent_samples_have_a_wider_interval() -> None:
    once = np.random.default_rng(10).exponential(size=20_000)
    ends = [quantile_intervals(series, [0.99])[0] for series in (once, np.repeat(once[::8], 8))]
    ((_, low, high), (_, lower, higher)) = filter(None, ends)
    assert lower < low < high < higher
