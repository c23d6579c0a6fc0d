"""What a probe is, and those of the load's own side: its processes, the machine, the sampling itself.

A probe reads; it decides nothing and never ends a load: what it cannot read becomes a row that says why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from contract.samples import LOAD, MACHINE, SAMPLER
from loadtest.watching.process_tree import ProcessTree

Row = dict[str, Any]  # column of contract/samples.py -> value; the time is added by the Sampler


@dataclass(frozen=True)
class Instant:
    """What all probes of one instant share."""

    parent_of: Mapping[int, int]  # pid -> parent's pid
    connections: Mapping[int, int] | None  # local port -> established connections; None where they were not counted


class Probe:
    """Watches one subject."""

    subject: str

    def rows(self, instant: Instant) -> list[Row]:
        """What it sees now."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it holds open."""


def absent(subject: str, why: str) -> Row:
    """The row of a subject without figures."""
    return {"subject": subject, "absent": f"absent: {why}"}


class Load(Probe):
    """The processes that make the load: this one and all that it has started."""

    subject = LOAD

    def __init__(self) -> None:
        self._tree: ProcessTree | None = None

    def rows(self, instant: Instant) -> list[Row]:
        self._tree = self._tree or ProcessTree(psutil.Process())
        return [{"subject": self.subject, **self._tree.read(instant.parent_of)}]


class Machine(Probe):
    """All cores of this machine, whoever uses them."""

    subject = MACHINE

    def rows(self, instant: Instant) -> list[Row]:
        cores = psutil.cpu_times(percpu=True)
        # guest time is part of user time; what waits for a disk or was stolen is not busy
        busy = [core.user + core.nice + core.system + core.irq + core.softirq for core in cores]
        memory = psutil.virtual_memory()
        return [
            {
                "subject": self.subject,
                "cpu_s": sum(busy),
                "core_s": busy,
                "steal_s": sum(core.steal for core in cores),
                "memory_bytes": memory.total - memory.available,
            }
        ]


class Itself(Probe):
    """What the sampling thread itself has used: an observer says what it costs."""

    subject = SAMPLER

    def rows(self, instant: Instant) -> list[Row]:
        return [{"subject": self.subject, "cpu_s": time.thread_time()}]
