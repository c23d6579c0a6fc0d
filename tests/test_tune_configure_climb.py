"""A climb finds the top of what has one, stops on what is flat, and asks for nothing twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tune.configuration.climb import Configuration, Key, Space, key, number, stand

DELAY = (0, 100, 200, 400, 800, 1600)
COUNT = (1, 2, 3, 4, 6, 8)
WIDE = Space({"delay": DELAY, "instances": COUNT})
CORES = 8
SHARED = Space(
    {"instances": (1, 2, 4, 8), "threads": (1, 2, 4, 8)},
    allowed=lambda at: number(at, "instances") * number(at, "threads") <= CORES,
    exchanged=[("instances", "threads")],
)


def climb(
    space: Space, start: Configuration, worth: Callable[[Configuration], float | None], noise: float = 0.03
) -> tuple[Configuration, list[Configuration]]:
    """Climb to the end: the best, and every configuration that was asked for, in order."""
    known: dict[Key, float | None] = {}
    asked: list[Configuration] = []
    while (at := stand(space, start, known, noise)).wanted is not None:
        assert key(at.wanted) not in known, "asked twice"
        assert at.wanted == start or space.allowed(at.wanted)
        known[key(at.wanted)] = worth(at.wanted)
        asked.append(at.wanted)
        assert len(asked) < 200, "it does not end"
    assert at.best is not None
    return at.best, asked


def distance(values: tuple[int, ...], value: int, top: int) -> int:
    return abs(values.index(value) - values.index(top))


def single_peak(at: Configuration) -> float:
    """Highest at 400 µs and 3 instances, 20 % lower with each step away."""
    return 1000 * 0.8 ** (distance(DELAY, number(at, "delay"), 400) + distance(COUNT, number(at, "instances"), 3))


def ridge(at: Configuration) -> float:
    """All cores used is best, and of that few instances with many threads: no single step leads along it."""
    used = number(at, "instances") * number(at, "threads")
    return 100.0 * used + 60.0 * number(at, "threads")


@pytest.mark.parametrize("delay", DELAY)
@pytest.mark.parametrize("instances", COUNT)
def test_a_single_peak_is_found_from_everywhere_in_fewer_trials_than_there_are(delay: int, instances: int) -> None:
    best, asked = climb(WIDE, {"delay": delay, "instances": instances}, single_peak)
    assert best == {"delay": 400, "instances": 3}
    assert len(asked) <= 16 < len(DELAY) * len(COUNT)


@pytest.mark.parametrize("start", [{"instances": 1, "threads": 1}, {"instances": 8, "threads": 1}])
def test_a_ridge_is_climbed_by_exchanging_what_shares_the_cores(start: Configuration) -> None:
    best, _ = climb(SHARED, start, ridge)
    assert best == {"instances": 1, "threads": 8}


def test_without_the_exchange_the_ridge_would_hold_the_climb() -> None:
    alone = Space(SHARED.axes, SHARED.allowed)
    best, _ = climb(alone, {"instances": 8, "threads": 1}, ridge)
    assert best == {"instances": 8, "threads": 1}


def test_a_plateau_is_left_alone_after_its_neighbours() -> None:
    start = {"delay": 200, "instances": 2}
    best, asked = climb(WIDE, start, lambda at: 500.0)
    assert best == start
    assert len(asked) == 1 + 4  # itself, and one step to each side


@pytest.mark.parametrize("seed", range(20))
def test_noise_below_the_threshold_never_moves_a_climb_on_a_plateau(seed: int) -> None:
    random = np.random.default_rng(seed)
    start = {"delay": 200, "instances": 2}
    best, asked = climb(WIDE, start, lambda at: 500.0 * float(random.uniform(0.98, 1.02)), noise=0.05)
    assert best == start and len(asked) == 5


@pytest.mark.parametrize("seed", range(20))
def test_a_noisy_peak_is_found_or_missed_by_a_step(seed: int) -> None:
    random = np.random.default_rng(seed)
    best, _ = climb(WIDE, {"delay": 0, "instances": 1}, lambda at: single_peak(at) * float(random.normal(1, 0.02)), 0.1)
    assert single_peak(best) >= 800


def test_a_setting_may_be_a_list_and_is_climbed_like_a_number() -> None:
    buckets = ((), (8, 16, 32, 64), (16, 32, 64))
    worths = dict(zip(buckets, (100.0, 120.0, 150.0), strict=True))
    found = Space({"length_buckets": buckets, "instances": (1, 2)})

    def worth(at: Configuration) -> float:
        return next(value for lengths, value in worths.items() if lengths == at["length_buckets"])

    best, asked = climb(found, {"length_buckets": (), "instances": 1}, worth)
    assert best == {"length_buckets": (16, 32, 64), "instances": 1}
    assert [at["length_buckets"] for at in asked[:3]] == list(buckets)
    with pytest.raises(TypeError, match=r"length_buckets is \[16, 32, 64\], and not a number"):
        number(best, "length_buckets")


def test_a_direction_that_helped_is_followed_first() -> None:
    _, asked = climb(WIDE, {"delay": 0, "instances": 1}, lambda at: 1.0 + DELAY.index(number(at, "delay")))
    assert [at["delay"] for at in asked[: len(DELAY)]] == list(DELAY)


def test_what_failed_is_never_the_best_and_never_asked_for_again() -> None:
    def worth(at: Configuration) -> float | None:
        return None if number(at, "instances") > 1 else 100.0 + number(at, "delay")

    best, asked = climb(WIDE, {"delay": 0, "instances": 1}, worth)
    assert best == {"delay": 1600, "instances": 1}
    assert len({key(at) for at in asked}) == len(asked)


def test_a_start_that_failed_is_climbed_away_from() -> None:
    best, _ = climb(WIDE, {"delay": 0, "instances": 8}, lambda at: 100.0 if number(at, "instances") < 8 else None)
    assert best["instances"] == 6


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_climb_goes_on_from_its_list_as_if_it_had_not_been_cut(cut: int) -> None:
    start = {"delay": 0, "instances": 1}
    best, asked = climb(WIDE, start, single_peak)
    known: dict[Key, float | None] = {key(at): single_peak(at) for at in asked[:cut]}
    rest = []
    while (at := stand(WIDE, start, known, 0.03)).wanted is not None:
        known[key(at.wanted)] = single_peak(at.wanted)
        rest.append(at.wanted)
    assert [*asked[:cut], *rest] == asked
    assert at.best == best
