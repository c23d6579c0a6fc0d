"""A closed loop of greenlets around somebody else's client: each user asks again as soon as it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import gevent

WARM_UP = 0.2  # of the window's length, before it


def closed(users: Sequence[Callable[[], None]], seconds: float) -> dict[str, float]:
    """Requests per second, and per second of this process' CPU. What a user raises ends it."""
    _window(users, seconds * WARM_UP)
    return _window(users, seconds)


def _window(users: Sequence[Callable[[], None]], seconds: float) -> dict[str, float]:
    answered = 0
    began, cpu = time.perf_counter(), time.process_time()
    end = began + seconds

    def user(ask: Callable[[], None]) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            ask()
            answered += 1

    gevent.joinall([gevent.spawn(user, ask) for ask in users], raise_error=True)
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rps": answered / elapsed, "rps_per_core": answered / cpu}
