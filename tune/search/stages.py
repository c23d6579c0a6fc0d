"""A step of a search as a stage of the plan. Pure."""

from __future__ import annotations

import math

from contract.records import Stage
from contract.shapes import Closed, Steady
from contract.slo import Slo
from tune.search.max_rate import Wanted

BURST = 2.0  # times the requests that are in flight when all take as long as they may
MOST_IN_FLIGHT = 512  # a session's sockets end somewhat above it


def stage_of(wanted: Wanted, slo: Slo, warmup_s: float, in_flight: int) -> Stage:
    """What to measure. An open loop may keep ``in_flight`` requests in flight, and more where its rate needs them.

    By Little's law rate times latency are in flight: what is held back below it would wait in the client instead of in
    the server's queue, where it can be joined into batches.
    """
    if wanted.users is not None:
        return Stage(
            name=f"knee-{wanted.users}",
            mode="closed",
            concurrency=wanted.users,
            rate=None,
            shape=Closed(shape="closed", users=wanted.users),
            duration_s=wanted.window_s,
            warmup_s=warmup_s,
            in_flight=wanted.users,
            judged=False,
            purpose="knee",
        )
    assert wanted.rate is not None
    needed = math.ceil(BURST * wanted.rate * max(slo.latency_ms.values()) / 1e3)
    return Stage(
        name=f"{wanted.purpose}-{wanted.rate:g}",
        mode="open",
        concurrency=None,
        rate=wanted.rate,
        shape=Steady(shape="steady", rate=wanted.rate),
        duration_s=wanted.window_s,
        warmup_s=warmup_s,
        in_flight=max(in_flight, min(needed, MOST_IN_FLIGHT)),
        judged=wanted.purpose == "confirm",
        purpose=wanted.purpose,
    )
