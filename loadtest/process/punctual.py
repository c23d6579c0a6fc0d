"""Waking up when it is time. A timer of an event loop is 0.14 ms late at the median; what is sent then is late too.

Half of it is the kernel's, which may put a wake-up off by 50 us to serve several at once (prctl(2), the timer slack).
The rest is the way from the timer to the greenlet. So the slack is taken away, and a greenlet wakes up a little before
its time and yields until it has come: 0.05 ms late at the median in a load process that has other things to do too.

Yielding costs the core that the server may want: how early depends on how long the wait is (bench/README.md has both).
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

import gevent
from gevent.lock import BoundedSemaphore

PR_SET_TIMERSLACK = 29
SLACK_NS = 1_000
EARLY_NS = 60_000  # at most; earlier buys a better p99 of the lateness and costs up to a core at 8,000 arrivals/s
OF_THE_WAIT = 16  # and of no wait more than a sixteenth, so that yielding never takes more of a core than that
LOOK_NS = 20_000_000  # how often whoever waits for a turn asks whether it is still wanted
SAVED_NS = 20_000_000  # of turns that nobody took, that are made up for: a timer that is late costs none


def take_slack_away() -> None:
    """For this thread and those that it starts; where the system knows no slack, nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0)


def sleep_until(when_ns: int) -> None:
    """Let others run until then (CLOCK_MONOTONIC)."""
    left_ns = when_ns - time.monotonic_ns()
    if left_ns > 0:
        gevent.sleep((left_ns - min(EARLY_NS, left_ns // OF_THE_WAIT)) / 1e9)
    while time.monotonic_ns() < when_ns:
        gevent.sleep(0)


class Turns:
    """Moments at which one of many may go on, an interval apart; what was not used is lost, but for SAVED_NS of it.

    A moment is taken when it has come, by whoever has waited longest: of a wait that is over before, nothing is in the
    way of those who wait next.
    """

    def __init__(self) -> None:
        self._first = BoundedSemaphore(1)  # whoever holds it is the next
        self._next_ns = 0

    def wait(self, interval_ns: int, over: Callable[[int], bool]) -> int:
        """Wait for one's turn, at most until it is ``over``, and return the moment (CLOCK_MONOTONIC).

        The next turn comes ``interval_ns`` later; with 0 nobody waits.
        """
        if not interval_ns:
            return time.monotonic_ns()
        with self._first:
            while (now := time.monotonic_ns()) < self._next_ns and not over(now):
                sleep_until(min(self._next_ns, now + LOOK_NS))
            if not over(now):
                self._next_ns = max(self._next_ns, now - SAVED_NS) + interval_ns
            return now
