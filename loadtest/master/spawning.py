"""Locust's users, brought to the number that a stage wants: a hundred at a time, each as soon as the last are there.

Locust spawns as many at once as its rate says, then sleeps a second, and warns above 100 in a load process of what so
many do at their start. Ours do nothing before an order is there, so that seconds would be lost; and whoever waits for
all of them at once gives up on a stage that only wants many.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

AT_ONCE = 100  # in each load process
WAIT_S = 5.0  # for these; load processes tell their master how many they have every three seconds


def missing_users(runner: Any, users: int, pause: Callable[[], None]) -> int:
    """Let ``runner`` (locust.runners.Runner) have exactly so many; how many too few it has when no more are coming.

    Those that it stops are gone by then. ``pause`` lets others run between two looks.
    """
    at_once = AT_ONCE * max(1, getattr(runner, "worker_count", 1))  # a master's; who has none is its own
    for target in _steps(runner.target_user_count, users, at_once):
        if runner.target_user_count != target:
            runner.start(target, at_once)
        if not _reached(runner, target, pause):
            break
    return max(0, users - int(runner.user_count))


def _steps(before: int, users: int, at_once: int) -> list[int]:
    """The numbers of users on the way; the last is the one that is wanted."""
    by = at_once if users > before else -at_once
    return [*range(before, users, by)[1:], users]


def _reached(runner: Any, users: int, pause: Callable[[], None]) -> bool:
    """Whether it has so many users in time."""
    until = time.monotonic() + WAIT_S
    while runner.user_count != users:
        if time.monotonic() > until:
            return False
        pause()
    return True
