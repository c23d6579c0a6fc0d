"""Waking up when it is time."""

from __future__ import annotations

import subprocess
import sys
import time

import gevent

from loadtest.process.punctual import EARLY_NS, sleep_until
from tests.conftest import ROOT


def test_nobody_wakes_up_before_the_time() -> None:
    for wait_ns in (0, EARLY_NS // 2, 2 * EARLY_NS, 5_000_000):
        when = time.monotonic_ns() + wait_ns
        sleep_until(when)
        assert time.monotonic_ns() >= when


def test_what_is_past_is_not_waited_for() -> None:
    before = time.monotonic_ns()
    sleep_until(before - 60 * 10**9)
    assert time.monotonic_ns() - before < 30 * 10**9


def test_others_run_while_somebody_waits_and_while_he_yields() -> None:
    seen: list[int] = []

    def other() -> None:
        while True:
            seen.append(1)
            gevent.sleep(0)

    beside = gevent.spawn(other)
    sleep_until(time.monotonic_ns() + EARLY_NS // 2)
    yielded = len(seen)
    sleep_until(time.monotonic_ns() + 20 * EARLY_NS)
    beside.kill()
    assert 0 < yielded < len(seen)


def test_the_kernel_is_told_not_to_put_wake_ups_off() -> None:
    script = "from loadtest.process.punctual import take_slack_away; take_slack_away()"
    script += "; print(open('/proc/self/timerslack_ns').read())"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ended.stdout) == 1_000
