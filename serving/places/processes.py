"""Processes that are found again by pid and start time, so that a reused pid is never signalled."""

from __future__ import annotations

import psutil


def find(pid: int | None, started: float | None) -> psutil.Process | None:
    """The very process that had this pid at its start, or None when it is gone."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - (started or 0.0)) < 0.02
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def runs(process: psutil.Process | None) -> bool:
    """Whether it still runs (a zombie does not)."""
    try:
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
