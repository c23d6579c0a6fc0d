"""What an order draws by the plan's seeds: when its requests are due, and which of them is sent next.

Pure, but that traces are read. In a round the draws are the same for every variant, however often something was
measured before. Steps of a search differ from draw to draw: of two probes at one rate the counts are independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from contract.records import Plan, Seeds
from contract.shapes import Closed, Steady, Trace
from loadtest.plan.arrivals import arrivals, choices, read_trace
from loadtest.plan.payloads import Request, Requests
from loadtest.plan.seeds import DRAW_SEED, ROUND_SEED, USER_SEED, schedule_seed
from loadtest.process.orders import Order


def picks(seeds: Seeds, order: Order, worker: str, user: int, requests: Requests) -> Iterator[Request]:
    """The requests of one of a load process' users (from 1), drawn by a sequence of its own."""
    seed = seeds.payload + order.workers.index(worker) + USER_SEED * user
    seed += ROUND_SEED * (order.round - 1) + DRAW_SEED * order.draw
    return (requests.requests[index] for index in choices(len(requests.requests), seed))


def schedule(plan: Plan, order: Order, worker: str, results: Path) -> Iterator[tuple[int, str | None]]:
    """A load process' share of the arrivals: nanoseconds since the window's start, and the request that a trace names.

    ``results`` holds the traces.
    """
    turn, among, stage = order.workers.index(worker), len(order.workers), order.plan
    shape = stage.shape or Steady(shape="steady", rate=stage.rate)
    assert not isinstance(shape, Closed)
    if isinstance(shape, Trace):
        offsets, keys = read_trace(shape.model_copy(update={"file": results / shape.file}))
        recorded = zip(offsets.tolist(), keys, strict=True)
        return islice(recorded, turn, None, among)
    if order.rate is not None and isinstance(shape, Steady):
        shape = shape.model_copy(update={"rate": order.rate, "of_maximum": None})
    seed = schedule_seed(plan, order.rate or stage.rate or 0.0, order.round, order.draw)
    due = arrivals(shape, stage.duration_s, stage.warmup_s, seed)
    return ((offset, None) for offset in islice(due, turn, None, among))
