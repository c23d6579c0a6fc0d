"""The open loop's schedule: a seeded Poisson process."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from loadtest.arrivals import CHUNK, choices, poisson

SECOND = 1_000_000_000


def offsets(rate: float, seed: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(list(islice(poisson(rate, seed), count)), dtype=np.int64)


@pytest.mark.parametrize("rate", [0.5, 20.0, 200.0, 50_000.0])
def test_the_mean_rate_is_the_one_asked_for(rate: float) -> None:
    count = 20_000
    found = count / (offsets(rate, 7, count)[-1] / SECOND)
    assert found == pytest.approx(rate, rel=4 / np.sqrt(count))


def test_gaps_are_exponential() -> None:
    gaps = np.diff(offsets(100.0, 3, 50_000)) / SECOND
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)
    assert np.mean(gaps > 0.01) == pytest.approx(np.exp(-1), abs=0.01)


def test_arrivals_ascend_across_the_chunks_in_which_they_are_drawn() -> None:
    found = offsets(1000.0, 5, 3 * CHUNK)
    assert found[0] > 0
    assert (np.diff(found) >= 0).all()
    assert np.diff(found).max() < SECOND  # no gap where one chunk follows the other


def test_one_seed_is_one_schedule_and_another_seed_another() -> None:
    assert (offsets(100.0, 1, 1000) == offsets(100.0, 1, 1000)).all()
    assert (offsets(100.0, 1, 1000) != offsets(100.0, 2, 1000)).all()


def test_a_faster_schedule_of_one_seed_is_the_same_one_in_less_time() -> None:
    slow, fast = offsets(10.0, 1, 100), offsets(100.0, 1, 100)
    assert np.allclose(slow, fast * 10, rtol=1e-6)


def test_offsets_are_whole_nanoseconds() -> None:
    assert all(type(offset) is int for offset in islice(poisson(10.0, 1), 10))


def test_choices_are_uniform_seeded_and_within_bounds() -> None:
    drawn = list(islice(choices(5, 11), 20_000))
    assert set(drawn) == set(range(5))
    counts = np.bincount(drawn)
    assert counts.min() > 0.9 * 4000
    assert counts.max() < 1.1 * 4000
    assert drawn == list(islice(choices(5, 11), 20_000))
    assert drawn[:100] != list(islice(choices(5, 12), 100))


def test_one_request_is_always_chosen() -> None:
    assert set(islice(choices(1, 3), 100)) == {0}
