"""What a run draws by which of its seeds: each seed changes one choice and no other."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from contract.load import Load
from contract.records import Plan
from loadtest.plan.payloads import Request, Requests
from loadtest.plan.seeds import seeds_of
from loadtest.process.draws import picks, schedule
from loadtest.process.orders import Order
from tests.test_conductor import plan_of

REQUESTS = Requests("/infer", [Request(f"r{number:04d}", 1, b"", {}) for number in range(50)])


def drawn(**stated: int) -> tuple[list[int], list[str]]:
    """The first arrivals (nanoseconds) and requests of a plan whose seeds are 20240's but for those stated."""
    planned = plan_of({"shape": "steady", "rate": 100.0, "duration_s": 5.0})
    plan: Plan = planned.model_copy(update={"seeds": seeds_of(Load.model_validate({"seeds": stated}))})
    order = Order(1, 1, 0, 0, plan.variants[0], 0, 100.0, 0, 0, 5_000_000_000, False, ["a"], "clock", 0)
    due = [offset for offset, _ in islice(schedule(plan, order, "a", Path()), 100)]
    return due, [request.key for request in islice(picks(plan.seeds, order, "a", 1, REQUESTS), 100)]


def test_stating_the_seeds_that_would_be_derived_changes_nothing() -> None:
    assert drawn(schedule=20_240, payload=1_020_240, sampling=2_020_240) == drawn()


@pytest.mark.parametrize(
    ("stated", "same"),
    [({"schedule": 7}, (False, True)), ({"payload": 7}, (True, False)), ({"sampling": 7}, (True, True))],
)
def test_arrivals_and_requests_follow_their_own_seed(stated: dict[str, int], same: tuple[bool, bool]) -> None:
    before, after = drawn(), drawn(**stated)
    assert (before[0] == after[0], before[1] == after[1]) == same
