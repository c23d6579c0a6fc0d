"""What one load process counts of a stage: what was due in the window, and who made late what was late."""

from __future__ import annotations

import pytest

from loadtest.plan.admission import Abort
from loadtest.process.orders import Done, Order, packed, unpacked
from loadtest.process.window import LEAST_NS, Window
from tests.test_conductor import plan_of

MILLISECOND = 1_000_000


@pytest.fixture
def window() -> Window:
    """A second that begins at zero; what is sent over a millisecond after its time is late."""
    plan = plan_of({"shape": "steady", "rate": 10})
    order = Order(1, 1, 0, 0, plan.variants[0], 0, 10.0, 0, 0, 1_000 * MILLISECOND, False, ["a"], "clock", 0)
    return Window(order, start_ns=0, end_ns=order.end_ns, late_ns=MILLISECOND, limits_ns={"p99": 50 * MILLISECOND})


def count(window: Window, intended_ms: float, late_ms: float, held: bool) -> None:
    sent = int((intended_ms + late_ms) * MILLISECOND)
    window.count(int(intended_ms * MILLISECOND), sent, sent + MILLISECOND, good=True, held=held)


@pytest.mark.parametrize(
    ("late_ms", "held", "counted"),
    [
        (0.9, False, (0, 0)),
        (1.1, False, (1, 0)),
        (0.9, True, (0, 0)),  # the limit was reached, but nobody would have noticed
        (1.1, True, (0, 1)),
    ],
)
def test_what_was_sent_late_is_the_senders_or_was_held_back_and_never_both(
    window: Window, late_ms: float, held: bool, counted: tuple[int, int]
) -> None:
    count(window, 500, late_ms, held)
    done = window.report("a")
    assert (done.late, done.held) == counted and done.due == 1
    assert window.progress("a", 600 * MILLISECOND).late == counted[0]


@pytest.mark.parametrize("intended_ms", [-1.0, 1_000.0])
def test_what_was_held_back_outside_the_window_is_not_counted(window: Window, intended_ms: float) -> None:
    count(window, intended_ms, 90, held=True)
    assert (window.due, window.held) == (0, 0)


def test_what_was_held_back_misses_its_objective_from_the_intended_send(window: Window) -> None:
    count(window, 500, 60, held=True)
    assert window.over == {"p99": 1}


def test_the_master_hears_how_many_were_held_back(window: Window) -> None:
    count(window, 500, 60, held=True)
    assert unpacked(Done, packed(window.report("a"))).held == 1


@pytest.mark.parametrize(("intended_ms", "told"), [(500.0, 1), (1_000.0, 0)], ids=["in the window", "after it"])
def test_the_master_hears_how_many_went_over_a_new_connection(window: Window, intended_ms: float, told: int) -> None:
    intended_ns = round(intended_ms * MILLISECOND)
    window.count(intended_ns, intended_ns, intended_ns + MILLISECOND, good=True, reopened=True)
    assert unpacked(Done, packed(window.report("a"))).reopened == told


def test_what_failed_over_a_new_connection_is_a_failure_and_nothing_else(window: Window) -> None:
    intended_ns = 500 * MILLISECOND
    window.count(intended_ns, intended_ns, intended_ns + MILLISECOND, good=False, reopened=True)
    told = unpacked(Done, packed(window.report("a")))
    assert (told.failed, told.reopened) == (1, 0)


def fail(window: Window, *done_ms: int) -> None:
    """So many failures that the last but one is the first that may end the window."""
    window.abort = Abort(0.5, window=len(done_ms) - 1)
    for moment_ms in done_ms:
        intended_ns = (moment_ms - 1) * MILLISECOND
        window.count(intended_ns, intended_ns, moment_ms * MILLISECOND, good=False)


def test_a_window_that_is_aborted_ends_with_the_failure_that_was_one_too_many(window: Window) -> None:
    fail(window, *range(100, 161))
    assert window.aborted and window.ended(160 * MILLISECOND)
    done = window.report("a")
    assert (done.aborted, done.end_ns, done.failed) == (True, 159 * MILLISECOND, 60)


def test_a_window_that_is_aborted_before_it_has_begun_is_not_empty(window: Window) -> None:
    """Rates are divided by its length."""
    fail(window, *range(-100, -39))
    assert window.aborted and window.end_ns - window.start_ns == LEAST_NS
    assert window.report("a").due == 0
