"""The highest rate that an open loop keeps, against a server that does nothing: bisected below a closed loop's ceiling.

A closed loop is woken up by the answer that it waits for, an open one by a timer, and pays several times as much for it
(bench/README.md). So the ceiling of the one says nothing of the other. Pure: who measures is a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from contract.certificate import CeilingOf, OpenCeiling
from contract.trust import LEAST_ACHIEVED, MOST_LATE_SHARE
from loadtest.certification.figures import BUSY

STEPS = 5
LOWEST = 1 / 16  # of the closed loop's ceiling; five bisections of it leave 16 ** (1 / 32), a tenth
TRIES = 3  # of a rate that was not kept though both processes had time: other work on the machine was in their way


@dataclass(frozen=True)
class Tried:
    """One window at one rate. Requests, and shares of one core."""

    rate: float  # Poisson arrivals per second that were asked for
    due: int
    late: int  # sent late, also by the in-flight limit: this server answers at once, so that was the client's doing
    good: int  # answered well within the window
    client_cpu: float  # of the busiest load process
    server_cpu: float  # of the null server

    @property
    def kept(self) -> bool:
        """Whether the rate was sent on time and answered."""
        return self.late <= MOST_LATE_SHARE * self.due and self.good >= LEAST_ACHIEVED * self.due > 0

    @property
    def busy(self) -> bool:
        """Whether one of the two had no time left."""
        return max(self.client_cpu, self.server_cpu) >= BUSY


def open_ceiling(closed_rps: float, measure: Callable[[float], Tried]) -> OpenCeiling | None:
    """Find it by measuring rates below the closed loop's ceiling (requests per second).

    Where a rate was not kept though both processes had time, other work on the machine was in the way: what was kept
    is a lower bound then, ``of`` the machine, as it is where every rate was kept. None where none was.
    """
    low, high = LOWEST * closed_rps, closed_rps
    highest: Tried | None = None
    limit: Tried | None = None  # the lowest rate that was not kept
    for _ in range(STEPS):
        tried = _tried(round(math.sqrt(low * high), 1), measure)
        if tried.kept:
            low, highest = tried.rate, tried
        else:
            high, limit = tried.rate, tried
    if highest is None:
        return None
    return OpenCeiling(
        rps=highest.rate,
        of=_whose(limit),
        client_cpu=round(highest.client_cpu, 4),
        server_cpu=round(highest.server_cpu, 4),
    )


def _whose(limit: Tried | None) -> CeilingOf:
    """Who kept the lowest rate that was not kept from being so."""
    if limit is None or not limit.busy:
        return "machine"
    return "null server" if limit.server_cpu > limit.client_cpu else "client"


def _tried(rate: float, measure: Callable[[float], Tried]) -> Tried:
    """Again while it was the machine."""
    for _ in range(TRIES - 1):
        tried = measure(rate)
        if tried.kept or tried.busy:
            return tried
    return measure(rate)
