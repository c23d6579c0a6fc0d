"""What master and load processes tell each other about a stage. Each travels as one of Locust's messages."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from contract.records import Stage, VariantPlan

T = TypeVar("T")
BOOT = Path("/proc/sys/kernel/random/boot_id")


def clock() -> str:
    """Names the clock that ``time.monotonic_ns`` reads: one per running machine, which all its containers share."""
    return BOOT.read_text().strip() if BOOT.is_file() else socket.gethostname()


@dataclass(frozen=True)
class Order:
    """Measure this stage, now. Times are nanoseconds of the master's monotonic clock.

    ``workers`` are the ids of the load processes that take part, in the order in which they share the work: of an
    open loop's schedule the n-th takes every arrival n, n + N, n + 2N, …; whoever is not named waits. What is measured
    travels with the order, for a stage that was asked for is in nobody's plan yet.
    """

    number: int  # ascending over the run
    round: int
    variant: int
    stage: int
    item: VariantPlan
    draw: int  # which of the variant's draws of arrivals and payloads: stages of one draw get the same
    rate: float | None  # open loop: where the plan left it open, decided now
    begin_ns: int  # warm-up begins
    start_ns: int  # the window begins
    end_ns: int
    early: bool  # tell how it goes meanwhile, for it may be ended early
    workers: list[str]
    clock: str
    told_ns: int  # when the order left

    @property
    def plan(self) -> Stage:
        """The stage that is measured."""
        return self.item.stages[self.stage]

    @property
    def from_elsewhere(self) -> bool:
        """Whether it was given on another machine than this one."""
        return self.clock != clock()

    def shift_ns(self) -> int:
        """What to add to this machine's clock to have the master's: on another one, right up to the message's way."""
        return self.told_ns - time.monotonic_ns() if self.from_elsewhere else 0


@dataclass(frozen=True)
class Progress:
    """How a window that may be ended early has gone so far, in one load process.

    ``due`` requests of the window are decided: answered, failed, or unanswered for longer than every objective.
    """

    number: int
    worker: str
    due: int
    late: int
    failed: int
    over: dict[str, int]  # percentile -> slower than its objective, from the intended send, or failed
    near: dict[str, int]  # percentile -> slower than half of its objective, or failed
    in_flight: int


@dataclass(frozen=True)
class Cut:
    """End the window of this order now, and wait ``drain_s`` for what is in flight."""

    number: int
    drain_s: float


@dataclass(frozen=True)
class Done:
    """What one load process saw of an order: counts within the window, and its share of one core."""

    number: int
    worker: str
    cpu: float
    due: int
    late: int  # sent late though there was room for them
    good: list[int]  # good answers per third of the window
    aborted: bool = False  # too many requests failed
    failed: int = 0
    over: dict[str, int] = field(default_factory=dict)  # as in `Progress`, of all requests that were due
    end_ns: int = 0  # when its window really ended, by the master's clock
    elsewhere: bool = False  # on another machine than the master
    held: int = 0  # late too, and not in `late`: the in-flight limit held them back
    reopened: int = 0  # answered well over a new connection, for the server had closed the one that was kept
    index: int = 0  # of the load process, as its records have it in `worker`


FORMS: dict[type[Any], TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Order, Progress, Cut, Done)}


def packed(message: Order | Progress | Cut | Done) -> dict[str, Any]:
    """A message as Locust's serialisation takes it."""
    data: dict[str, Any] = FORMS[type(message)].dump_python(message, mode="json")
    return data


def unpacked(kind: type[T], data: dict[str, Any]) -> T:
    """The message that a process has sent."""
    message: T = FORMS[kind].validate_python(data)
    return message
