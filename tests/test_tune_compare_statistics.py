"""The verdict about a regression: how often it is wrong, what it can see, and what it refuses to say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from contract.statistics import Floats
from tune.comparison.regression import LEAST, Judged, Pair, interval, judge
from tune.comparison.replications import LEAST_ANSWERS, Round, blocks, values

PAIRS = 400
SPREAD = 0.03  # from round to round, relative
VARIANTS = 2
FIGURES = ("p50", "p99")
ROUNDS = 5


def pair(base: Any, new: Any, **changes: Any) -> Pair:
    fields: dict[str, Any] = {
        "model": "words",
        "variant": "words__onnx__triton__http",
        "stage": "open-200",
        "figure": "p99",
        "unit": "ms",
        "better": "lower",
        "base": np.asarray(base, dtype=np.float64),
        "new": np.asarray(new, dtype=np.float64),
    }
    return Pair(**(fields | changes))


def run(generator: np.random.Generator, rounds: int) -> list[Floats]:
    """The figures of one run by round: what disturbs a round disturbs all its figures; outliers lie above."""
    shared = generator.normal(size=rounds)
    own = generator.normal(size=(VARIANTS * len(FIGURES), rounds))
    disturbed = np.expm1(0.5 * (0.5 * shared + math.sqrt(0.75) * own)) * 2
    return list(20.0 * np.exp(SPREAD * disturbed))


def two_runs(seed: int, slower: float = 0.0, rounds: int = ROUNDS) -> list[Judged]:
    """Two runs of the same thing, of which the newer is slower in the first figure."""
    generator = np.random.default_rng(seed)
    base, new = run(generator, rounds), run(generator, rounds)
    new[0] = new[0] * (1 + slower)
    return judge([pair(*sides) for sides in zip(base, new, strict=True)], 0.05)


def regressed(found: list[Judged]) -> bool:
    return any(item.outcome == "regression" for item in found)


def test_of_equal_runs_at_most_one_in_twenty_is_called_a_regression() -> None:
    alarms = sum(regressed(two_runs(seed)) for seed in range(PAIRS))
    print(f"false alarms: {alarms} of {PAIRS} pairs of equal runs, {VARIANTS * len(FIGURES)} figures each")
    assert alarms <= 0.05 * PAIRS


def test_of_equal_runs_at_most_one_in_twenty_is_called_different_without_a_minimum_effect() -> None:
    generator = np.random.default_rng(1)
    misses = 0
    for _ in range(PAIRS):
        found = interval(run(generator, ROUNDS)[0], run(generator, ROUNDS)[0], 0.025)
        misses += not found.low <= 0 <= found.high
    assert misses <= 0.05 * PAIRS


@pytest.mark.parametrize(("rounds", "slower", "floor"), [(5, 0.10, 0.5), (10, 0.10, 0.85), (5, 0.20, 0.85)])
def test_a_slowdown_is_seen_as_often_as_is_promised(rounds: int, slower: float, floor: float) -> None:
    trials = 100
    seen = sum(two_runs(seed, slower, rounds)[0].outcome == "regression" for seed in range(trials))
    print(f"power at {slower:.0%} with {rounds} rounds of {SPREAD:.0%} spread: {seen} of {trials}")
    assert seen >= floor * trials


def test_more_figures_do_not_raise_more_false_alarms() -> None:
    generator = np.random.default_rng(3)
    base, new = (np.exp(SPREAD * generator.normal(size=(40, ROUNDS))) for _ in range(2))
    alone = [judge([pair(*sides)], 0.0)[0].change for sides in zip(base, new, strict=True)]
    together = judge([pair(*sides) for sides in zip(base, new, strict=True)], 0.0)
    for one, item in zip(alone, together, strict=True):
        assert one and item.change and item.change.low < one.low and item.change.high > one.high
    assert not regressed(together)


def test_an_interval_covers_the_true_change() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        found = interval(run(generator, 8)[0], 1.3 * run(generator, 8)[0], 0.025)
        covered += found.low <= 0.3 <= found.high
    assert covered >= 0.93 * 200


def test_the_same_replications_give_the_same_interval() -> None:
    sides = np.array([20.0, 21, 19, 20, 22]), np.array([22.0, 23, 21, 25, 22])
    assert interval(*sides, 0.025) == interval(*sides, 0.025)


def test_a_slowdown_below_the_minimum_effect_is_none() -> None:
    steady = [20.0, 20.01, 19.99, 20.02, 19.98]
    slower = [value * 1.04 for value in steady]
    (below,), (above,) = judge([pair(steady, slower)], 0.05), judge([pair(steady, slower)], 0.03)
    assert (below.outcome, above.outcome) == ("no difference", "regression")
    assert "minimum effect of 5 %" in below.reason


def test_a_slowdown_below_the_noise_of_the_runs_is_none() -> None:
    steady = [20.0, 20.01, 19.99, 20.02, 19.98]
    (found,) = judge([pair(steady, [value * 1.1 for value in steady], noise=0.2)], 0.05)
    assert found.outcome == "no difference" and "own noise of 20 %" in found.reason


@pytest.mark.parametrize(
    ("factor", "better", "outcome"),
    [
        (1.2, "lower", "regression"),
        (0.8, "lower", "improvement"),
        (1.2, "higher", "improvement"),
        (0.8, "higher", "regression"),
    ],
)
def test_which_way_is_worse_follows_the_figure(factor: float, better: str, outcome: str) -> None:
    steady = [20.0, 20.1, 19.9, 20.2, 19.8]
    (found,) = judge([pair(steady, [value * factor for value in steady], better=better)], 0.05)
    assert found.outcome == outcome


def test_too_few_replications_are_not_judged_and_cost_the_others_nothing() -> None:
    steady = [20.0, 20.1, 19.9, 20.2, 19.8]
    slower = [value * 1.2 for value in steady]
    few, enough = judge([pair(steady[:2], slower), pair(steady, slower)], 0.05)
    assert few.outcome == "not judged" and f"2 against 5 replications, at least {LEAST}" in few.reason
    assert enough.change == judge([pair(steady, slower)], 0.05)[0].change


def test_figures_that_may_not_be_compared_say_why() -> None:
    (found,) = judge([pair([20.0] * 5, [40.0] * 5, refused="INVALID in b: errors")], 0.05)
    assert (found.outcome, found.reason) == ("not judged", "INVALID in b: errors")


def test_replications_without_any_spread_are_judged() -> None:
    (same,), (slower,) = judge([pair([20.0] * 5, [20.0] * 5)], 0.05), judge([pair([20.0] * 5, [30.0] * 5)], 0.05)
    assert same.outcome == "no difference"
    assert slower.outcome == "regression" and slower.change and slower.change.low == pytest.approx(0.5)


def window(seconds: float, latency_ms: Floats) -> Round:
    due = np.linspace(0.0, seconds, len(latency_ms), endpoint=False)
    return Round(seconds, due, latency_ms, due)


def test_a_long_window_of_independent_requests_is_cut_into_blocks() -> None:
    latency = np.random.default_rng(0).lognormal(1.0, 0.2, 20_000)
    cut = blocks([window(100.0, latency)])
    assert len(cut) == 10
    assert sum(len(item.latency_ms) for item in cut) == len(latency)
    assert values(cut, "throughput") == pytest.approx(np.full(10, 200.0))


def test_a_short_window_is_not_cut_into_blocks() -> None:
    latency = np.random.default_rng(0).lognormal(1.0, 0.2, 4 * LEAST_ANSWERS)
    assert blocks([window(10.0, latency)]) == []
    assert blocks([window(10.0, latency[:0])]) == [] and blocks([]) == []


def test_a_window_whose_requests_hang_together_is_not_cut_into_blocks() -> None:
    """A queue that drains slowly: the neighbours of a slow request are slow."""
    noise = np.random.default_rng(0).normal(size=20_000)
    course = np.zeros(len(noise))
    for place in range(1, len(noise)):
        course[place] = 0.999 * course[place - 1] + noise[place]
    assert blocks([window(100.0, 20.0 + course - course.min())]) == []
    assert len(blocks([window(100.0, 20.0 + noise - noise.min())])) == 10


def test_a_round_without_a_good_answer_is_no_replication() -> None:
    good = window(5.0, np.full(600, 4.0))
    assert len(values([good, window(5.0, np.array([]))], "p99")) == 1
