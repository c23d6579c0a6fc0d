"""What an order draws by the plan's seeds: when its requests are due, and which of them is sent next.

Pure, but that traces are read. In a round the draws are the same for every variant, however often something was
measured before. Steps of a search differ from draw to draw: of two probes at one rate the counts are independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from contract.load import PAYLOAD_SEED, SAMPLING_SEED, Load
from contract.records import Plan, Seeds
from contract.shapes import Closed, Steady, Trace
from loadtest.arrivals import arrivals, choices, read_trace
from loadtest.orders import Order
from loadtest.payloads import Request, Requests

ROUND_SEED, USER_SEED, DRAW_SEED = 100_003, 7_919, 611_953  # primes, so that no two of a run's seeds fall together


def seeds_of(load: Load) -> Seeds:
    """The seeds that a run draws by: those that were stated, the others derived from the one seed."""
    derived = Seeds(schedule=load.seed, payload=load.seed + PAYLOAD_SEED, sampling=load.seed + SAMPLING_SEED)
    return derived.model_copy(update=load.seeds.model_dump(exclude_none=True))


def schedule_seed(plan: Plan, rate: float, turn: int, draw: int = 0) -> int:
    """The same arrivals for every variant at the same rate in the same round and draw, the repeat included."""
    return plan.seeds.schedule + round(rate) + ROUND_SEED * (turn - 1) + DRAW_SEED * draw


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
