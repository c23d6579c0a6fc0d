"""What the master tells the load processes: measure this stage, now. Travels as one of Locust's messages."""

from __future__ import annotations

import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BOOT = Path("/proc/sys/kernel/random/boot_id")


def clock() -> str:
    """Names the clock that ``time.monotonic_ns`` reads: one per running machine."""
    return BOOT.read_text().strip() if BOOT.is_file() else socket.gethostname()


@dataclass(frozen=True)
class Order:
    """One stage of one variant, once. Times are nanoseconds of the master's monotonic clock.

    ``workers`` are the ids of the load processes that take part, in the order in which they share the work: of an
    open loop's schedule the n-th takes every arrival n, n + N, n + 2N, …; whoever is not named waits.
    """

    number: int  # ascending over the run
    round: int
    variant: int
    stage: int
    rate: float | None  # open loop: where the plan left it open, decided now
    begin_ns: int  # warm-up begins
    start_ns: int  # the window begins
    end_ns: int
    workers: list[str]
    clock: str
    told_ns: int  # when the order left

    def message(self) -> dict[str, Any]:
        """As Locust's serialisation takes it."""
        return asdict(self)

    def shift_ns(self) -> int:
        """What to add to this machine's clock to have the master's: on another one, right up to the message's way."""
        return 0 if self.clock == clock() else self.told_ns - time.monotonic_ns()


@dataclass(frozen=True)
class Done:
    """What one load process saw of an order: counts within the window, and its share of one core."""

    number: int
    worker: str
    cpu: float
    due: int
    late: int
    good: list[int]  # good answers per third of the window
    aborted: bool = False  # too many requests failed

    def message(self) -> dict[str, Any]:
        """As Locust's serialisation takes it."""
        return asdict(self)
