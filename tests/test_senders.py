"""The senders of an open loop: each arrival once, in order and on time, as long as fewer than the limit are waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from loadtest.plan.payloads import Request
from loadtest.process.orders import Order
from loadtest.process.senders import Senders
from loadtest.process.window import Window
from tests.test_conductor import plan_of

MILLISECOND = 1_000_000
LENGTH_NS = 2_000 * MILLISECOND


@pytest.fixture
def window() -> Window:
    plan = plan_of({"shape": "steady", "rate": 10})
    now = time.monotonic_ns()
    end = now + LENGTH_NS
    order = Order(1, 1, 0, 0, plan.variants[0], 0, 10.0, now, now, end, False, ["a"], "clock", now)
    return Window(order, start_ns=now, end_ns=end, late_ns=1e6)


def arrivals(window: Window, *after_ms: int) -> Iterator[tuple[int, Request]]:
    return (
        (window.start_ns + ms * MILLISECOND, Request(f"r{number}", 1, b"", {})) for number, ms in enumerate(after_ms)
    )


class Server:
    """Notes what it is sent and answers when it is ``opened``, or at once."""

    def __init__(self, window: Window, at_once: bool) -> None:
        self.window = window
        self.opened = Event()
        self.seen: list[str] = []
        self.late_ns: list[int] = []
        self.held: list[str] = []
        if at_once:
            self.opened.set()

    def send(self, intended_ns: int, request: Request, held: bool) -> None:
        self.seen.append(request.key)
        self.held += [request.key] * held
        self.late_ns.append(time.monotonic_ns() - intended_ns)
        self.opened.wait()
        self.window.pending -= 1


def forever() -> float:
    return 60.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Let the senders work until it is true."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.001)


def run(senders: Senders, patience: Callable[[], float] = forever) -> Any:
    """The senders at work in a greenlet of their own."""
    return gevent.spawn(senders.run, patience)


def test_every_arrival_is_sent_once_in_order_and_never_before_its_time(window: Window) -> None:
    server = Server(window, at_once=True)
    senders = Senders(window, arrivals(window, 5, 10, 10, 10, 20), 4, server.send)
    senders.run(forever)
    wait_for(lambda: window.pending == 0)
    assert server.seen == ["r0", "r1", "r2", "r3", "r4"]
    assert min(server.late_ns) >= 0 and not server.held
    assert list(senders.unsent()) == []
    assert (window.drained, window.pending, window.next_ns) == (True, 0, None)


def test_who_waits_for_an_answer_does_not_hold_up_the_next_arrival(window: Window) -> None:
    server = Server(window, at_once=False)
    senders = Senders(window, arrivals(window, *range(20)), 20, server.send)
    senders.run(forever)
    wait_for(lambda: len(server.seen) == 20)
    assert window.pending == 20 and not server.held  # none was answered, all were sent
    server.opened.set()
    wait_for(lambda: window.pending == 0)


def test_what_the_limit_holds_back_is_sent_late_when_there_is_room_again(window: Window) -> None:
    server = Server(window, at_once=False)
    working = run(Senders(window, arrivals(window, 1, 2, 700), 2, server.send))
    wait_for(lambda: time.monotonic_ns() > window.start_ns + 720 * MILLISECOND)
    assert server.seen == ["r0", "r1"] and not window.drained
    assert window.next_ns == window.start_ns + 700 * MILLISECOND  # everybody can see since when it is due
    server.opened.set()
    opened_ns = time.monotonic_ns()
    working.get(timeout=10)
    wait_for(lambda: window.pending == 0)
    assert server.seen == ["r0", "r1", "r2"]
    assert server.late_ns[2] >= opened_ns - window.start_ns - 700 * MILLISECOND
    assert server.held == ["r2"]


def test_a_backlog_of_held_arrivals_is_held_to_its_end_and_what_comes_after_it_is_not(window: Window) -> None:
    server = Server(window, at_once=False)
    working = run(Senders(window, arrivals(window, 1, 2, 700, 701, 702, 703, 1_800), 2, server.send))
    wait_for(lambda: time.monotonic_ns() > window.start_ns + 710 * MILLISECOND)
    assert server.seen == ["r0", "r1"]
    server.opened.set()  # all of the backlog is sent by two senders, who are both busy again and again
    working.get(timeout=10)
    wait_for(lambda: window.pending == 0)
    assert server.seen == ["r0", "r1", "r2", "r3", "r4", "r5", "r6"]
    assert server.held == ["r2", "r3", "r4", "r5"]


def test_what_came_due_while_the_sender_itself_stood_still_is_not_held(window: Window) -> None:
    """Sent at once when it goes on, they fill the limit; but they were late before it was full."""
    server = Server(window, at_once=False)
    senders = Senders(window, arrivals(window, 1, 2, 3, 4, 5), 2, server.send)
    while time.monotonic_ns() < window.start_ns + 30 * MILLISECOND:
        pass  # nobody else runs: the machine has stopped this process
    working = run(senders)
    wait_for(lambda: len(server.seen) == 2)
    server.opened.set()
    working.get(timeout=10)
    wait_for(lambda: window.pending == 0)
    assert min(server.late_ns) >= 20 * MILLISECOND and not server.held


def test_what_was_due_when_patience_ends_is_told_and_nothing_more_is_sent(window: Window) -> None:
    server = Server(window, at_once=False)
    senders = Senders(window, arrivals(window, 1, 700, 701, 2_001), 1, server.send)
    senders.run(lambda: 0.05 if time.monotonic_ns() < window.start_ns + 720 * MILLISECOND else 0.0)
    assert server.seen == ["r0"]
    left = [(request.key, held) for _, request, held in senders.unsent()]
    assert left == [("r1", True), ("r2", True)]  # the last is due after the window
    server.opened.set()
    gevent.sleep(0.01)
    assert server.seen == ["r0"] and window.drained


def test_nothing_is_sent_after_the_window_was_ended_before_its_time(window: Window) -> None:
    server = Server(window, at_once=True)
    working = run(Senders(window, arrivals(window, 1, 700, 710), 4, server.send))
    wait_for(lambda: server.seen == ["r0"])
    window.end(time.monotonic_ns())
    working.get(timeout=10)
    assert server.seen == ["r0"] and window.drained


def test_who_is_stopped_while_waiting_for_an_arrival_sends_it_no_more(window: Window) -> None:
    server = Server(window, at_once=True)
    senders = Senders(window, arrivals(window, 1, 700), 4, server.send)
    working = run(senders)
    wait_for(lambda: server.seen == ["r0"])
    senders.stop()
    working.get(timeout=10)
    gevent.sleep(0.8)
    assert server.seen == ["r0"]


def test_who_aborts_the_window_ends_the_schedule_however_far_its_next_arrival_is(window: Window) -> None:
    """The user that runs the senders is wanted for the next stage, which begins at once."""

    def fail(intended_ns: int, request: Request, held: bool) -> None:
        window.aborted = True

    senders = Senders(window, arrivals(window, 0, 60_000), 4, fail)
    began = time.monotonic()
    senders.run(forever)
    assert time.monotonic() - began < 30
    assert window.drained and list(senders.unsent()) == []
