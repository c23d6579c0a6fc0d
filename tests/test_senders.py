"""The senders of an open loop: each arrival once, in order and on time, as long as fewer than the limit are waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from loadtest.orders import Order
from loadtest.payloads import Request
from loadtest.senders import Senders
from loadtest.window import Window
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
        if at_once:
            self.opened.set()

    def send(self, intended_ns: int, request: Request) -> None:
        self.seen.append(request.key)
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
    assert min(server.late_ns) >= 0
    assert list(senders.unsent()) == []
    assert (window.drained, window.pending, window.next_ns) == (True, 0, None)


def test_who_waits_for_an_answer_does_not_hold_up_the_next_arrival(window: Window) -> None:
    server = Server(window, at_once=False)
    senders = Senders(window, arrivals(window, *range(20)), 20, server.send)
    senders.run(forever)
    wait_for(lambda: len(server.seen) == 20)
    assert window.pending == 20  # none was answered, all were sent
    server.opened.set()
    wait_for(lambda: window.pending == 0)


def test_what_the_limit_holds_back_is_sent_late_when_there_is_room_again(window: Window) -> None:
    server = Server(window, at_once=False)
    working = run(Senders(window, arrivals(window, 1, 2, 3), 2, server.send))
    wait_for(lambda: server.seen == ["r0", "r1"])
    gevent.sleep(0.02)
    assert server.seen == ["r0", "r1"] and not window.drained
    assert window.next_ns == window.start_ns + 3 * MILLISECOND  # everybody can see since when it is due
    server.opened.set()
    opened_ns = time.monotonic_ns()
    working.get(timeout=10)
    wait_for(lambda: window.pending == 0)
    assert server.seen == ["r0", "r1", "r2"]
    assert server.late_ns[2] >= opened_ns - window.start_ns - 3 * MILLISECOND


def test_what_was_due_when_patience_ends_is_told_and_nothing_more_is_sent(window: Window) -> None:
    server = Server(window, at_once=False)
    senders = Senders(window, arrivals(window, 1, 2, 3, 2_001), 1, server.send)
    senders.run(lambda: 0.05 if not server.seen or time.monotonic_ns() < window.start_ns + 10 * MILLISECOND else 0.0)
    assert server.seen == ["r0"]
    assert [request.key for _, request in senders.unsent()] == ["r1", "r2"]  # the last is due after the window
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
