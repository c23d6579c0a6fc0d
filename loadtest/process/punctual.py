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

import gevent

PR_SET_TIMERSLACK = 29
SLACK_NS = 1_000
EARLY_NS = 60_000  # at most; earlier buys a better p99 of the lateness and costs up to a core at 8,000 arrivals/s
OF_THE_WAIT = 16  # and of no wait more than a sixteenth, so that yielding never takes more of a core than that


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
