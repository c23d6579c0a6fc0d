"""Turns below a ceiling: an interval apart however many want one, and none is kept for who has left."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import pytest

from loadtest.process.punctual import SAVED_NS, Turns

MILLISECOND = 1_000_000


def never(_: int) -> bool:
    return False


def until(when_ns: int) -> Callable[[int], bool]:
    return lambda now: now >= when_ns


@pytest.mark.parametrize("pause_s", [0.0, 0.12], ids=["who comes at once", "who comes again after a while"])
def test_turns_are_an_interval_apart_however_many_want_one(pause_s: float) -> None:
    turns, taken = Turns(), list[int]()
    interval = 10 * MILLISECOND

    def user() -> None:
        for _ in range(3):
            taken.append(turns.wait(interval, never))
            gevent.sleep(pause_s)  # all of them are away meanwhile, and come back at once

    gevent.joinall([gevent.spawn(user) for _ in range(8)], raise_error=True)
    assert len(taken) == 24
    assert taken == sorted(taken)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert taken[last] - taken[first] >= (last - first) * interval - SAVED_NS


def test_without_an_interval_nobody_waits() -> None:
    turns = Turns()
    turns.wait(3_600_000 * MILLISECOND, never)
    before = time.monotonic_ns()
    assert turns.wait(0, never) - before < 60_000 * MILLISECOND


def test_who_waits_when_it_is_over_leaves_and_takes_no_turn_from_who_comes_next() -> None:
    turns, interval = Turns(), 1_000 * MILLISECOND
    first = turns.wait(interval, never)
    over = until(first + 50 * MILLISECOND)
    waiting = [gevent.spawn(turns.wait, interval, over) for _ in range(10)]
    gevent.joinall(waiting, timeout=30, raise_error=True)
    assert all(over(greenlet.value) for greenlet in waiting)
    following = turns.wait(interval, never)
    assert interval - SAVED_NS <= following - first < 5 * interval  # with turns for those who left it were eleven
