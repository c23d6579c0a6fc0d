"""How long a run and its steps may take before they count as hung: all that they may rightly wait for, added up. Pure.

Every wait has a bound of its own where it is waited: load processes that join, a model that is loaded, what is in
flight after a window, a server that does not tell its counters. A limit of the whole that left one of them out would
end runs that are well. Everything is in seconds.
"""

from __future__ import annotations

from contract.records import Plan, Stage
from contract.triton_control import LOAD_S, UNLOAD_S
from loadtest.launching import WAIT_FOR_OTHERS_S, WAIT_S
from loadtest.process.window import DRAIN_S, GRACE_S
from loadtest.watching.counters import TIMEOUT_S

SPARE_S = 180.0  # for what is not bounded here: Locust's start, users that come, records that are written
AFTER_S = DRAIN_S + GRACE_S + 2 * TIMEOUT_S  # beyond a window: its drain, its reports, counters before it and after it


def run_limit_s(plan: Plan, workers: int = 0) -> float:
    """For a whole plan, from Locust's start; ``workers`` load processes of others are waited for, if any."""
    joining_s = WAIT_FOR_OTHERS_S if workers else WAIT_S
    measuring_s = sum(_measuring_s(stage) for item in plan.variants for stage in item.stages)
    loading_s = 2 * _loading_s(plan)  # what a round repeats at its end (A/A) has to be loaded once more
    return joining_s + plan.rounds * (plan.attempts * measuring_s + loading_s) + end_limit_s(plan)


def step_limit_s(plan: Plan, stage: Stage) -> float:
    """For one stage that is measured once, and what has to be loaded before it."""
    return _loading_s(plan) + _measuring_s(stage) + SPARE_S


def end_limit_s(plan: Plan) -> float:
    """From the last stage until Locust is gone: it leaves the server as it was."""
    return _loading_s(plan) + SPARE_S


def _measuring_s(stage: Stage) -> float:
    return stage.warmup_s + stage.duration_s + AFTER_S


def _loading_s(plan: Plan) -> float:
    """For all models that Triton may hold, of the plan or not, one after the other; none where they stay loaded."""
    models = sum(name.endswith(" on triton") for name in plan.resident)
    return (LOAD_S + UNLOAD_S) * models if plan.loads else 0.0
