"""A stage that the machine spoiled is measured again; the last attempt counts and says so."""

from __future__ import annotations

import pytest

from contract.trust import late_limit_ms, spread
from loadtest.master.conductor import trusted
from loadtest.process.orders import Done
from tests.builders import closed_stage, open_stage


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([10, 10, 10], 0.0), ([9, 10, 11], 0.2), ([0, 0, 30], 3.0), ([0, 0, 0], float("inf"))],
)
def test_the_spread_is_relative_to_the_mean(counts: list[float], expected: float) -> None:
    assert spread(counts) == pytest.approx(expected)


@pytest.mark.parametrize(("objective", "limit"), [(50.0, 2.5), (20.0, 1.0), (4.0, 1.0), (400.0, 20.0)])
def test_late_is_five_percent_of_the_objective_and_never_below_a_millisecond(objective: float, limit: float) -> None:
    assert late_limit_ms(objective) == limit


@pytest.mark.parametrize(("late", "expected"), [(0, True), (5, True), (6, False)])
def test_an_open_loop_is_trusted_while_few_sends_are_late(late: int, expected: bool) -> None:
    assert trusted(open_stage(), [Done(1, "a", 0.1, 100, late, [1, 1, 1])]) is expected


@pytest.mark.parametrize(
    ("thirds", "expected"), [([100, 100, 100], True), ([85, 100, 115], True), ([60, 100, 100], False)]
)
def test_a_closed_loop_is_trusted_while_its_throughput_is_steady(thirds: list[int], expected: bool) -> None:
    assert trusted(closed_stage(), [Done(1, "a", 0.1, 300, 0, thirds)]) is expected
