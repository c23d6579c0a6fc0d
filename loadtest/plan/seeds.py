"""The seeds of a run: those that it is given, and which schedule they make for a rate, a round and a draw. Pure."""

from __future__ import annotations

from contract.load import PAYLOAD_SEED, SAMPLING_SEED, Load
from contract.records import Plan, Seeds

ROUND_SEED, USER_SEED, DRAW_SEED = 100_003, 7_919, 611_953  # primes, so that no two of a run's seeds fall together


def seeds_of(load: Load) -> Seeds:
    """The seeds that a run draws by: those that were stated, the others derived from the one seed."""
    derived = Seeds(schedule=load.seed, payload=load.seed + PAYLOAD_SEED, sampling=load.seed + SAMPLING_SEED)
    return derived.model_copy(update=load.seeds.model_dump(exclude_none=True))


def schedule_seed(plan: Plan, rate: float, turn: int, draw: int = 0) -> int:
    """The same arrivals for every variant at the same rate in the same round and draw, the repeat included."""
    return plan.seeds.schedule + round(rate) + ROUND_SEED * (turn - 1) + DRAW_SEED * draw
