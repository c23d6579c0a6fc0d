"""Which cores a child process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import UsageError


@contextmanager
def on_cores(cores: list[int], key: str) -> Iterator[None]:
    """What this thread starts in the block may use these cores only; no cores: no change.

    A child inherits the affinity of the thread that forks it. ``key`` names the setting for the error message.
    """
    before = os.sched_getaffinity(0)
    if not before.issuperset(cores):
        raise UsageError(f"{key} names cores {cores}; this machine lets us use {sorted(before)}")
    try:
        if cores:
            os.sched_setaffinity(0, cores)
        yield
    finally:
        os.sched_setaffinity(0, before)
