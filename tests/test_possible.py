"""Plans with impossible numbers: refused by a sentence that names stage, value and limit, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import UsageError
from contract.load import Load
from contract.records import Plan, Stage
from contract.shapes import LoadPlan
from loadtest.plan.planning import Choice, make_plan, stages
from loadtest.plan.possible import MOST_PER_CORE, refuse_impossible, refuse_senseless
from tests.builders import MACHINE, endpoint, endpoints

SOCKETS = 1_000
SPIKE: dict[str, Any] = {"shape": "spike", "rate": 10, "peak": 90, "begin_s": 2, "length_s": 1}


def stages_of(shape: dict[str, Any], rounds: int = 1) -> list[Stage]:
    plan = LoadPlan.model_validate({"stages": [{"duration_s": 6, "warmup_s": 0} | shape], "rounds": rounds})
    return stages(Load(), endpoint(), Choice("mine", plan))


@pytest.mark.parametrize(
    ("shape", "rounds", "why"),
    [
        ({"shape": "steady", "rate": 1e12}, 1, r"open-1e\+12: 1e\+12 requests per second are more than any"),
        ({"shape": "ramp", "rate": 1, "to": 2e6}, 1, "2e.06 requests per second"),
        ({"shape": "steady", "rate": 1, "duration_s": 1e18}, 1, r"1e\+18 s are more than a month"),
        ({"shape": "steady", "rate": 1, "warmup_s": 1e9}, 1, "are more than a month"),
        ({"shape": "closed", "users": 1_000}, 1, "1,000 requests in flight .* can open 1,000 files; lower users"),
        ({"shape": "steady", "in_flight": 10**8}, 1, "lower in_flight"),
        (
            {"shape": "closed", "users": 1},
            1_000,
            r"a window of 0.006 s \(duration_s, divided by the rounds\) .*, or lower rounds",
        ),
        ({"shape": "steady", "rate": 1, "duration_s": 0.09}, 1, "0.1 s in each round at least"),
        (SPIKE | {"begin_s": 7}, 1, "the spike lasts from 7 to 8 s, but the window is over after 6 s"),
        (SPIKE | {"begin_s": 5.5}, 1, "from 5.5 to 6.5 s"),
        (SPIKE, 3, r"from 2 to 3 s, but the window is over after 2 s \(duration_s, divided by the rounds\)"),
    ],
)
def test_what_cannot_be_is_refused(shape: dict[str, Any], rounds: int, why: str) -> None:
    with pytest.raises(UsageError, match=f"^words .*{why}"):
        refuse_impossible("words", stages_of(shape, rounds), SOCKETS)


@pytest.mark.parametrize(
    ("shape", "rounds"),
    [
        ({"shape": "steady", "rate": 20_000, "duration_s": 86_400}, 1),
        ({"shape": "closed", "users": 999}, 1),
        ({"shape": "closed", "users": 1}, 60),
        (SPIKE, 2),
        ({"shape": "ramp", "rate": 0, "to": 5}, 1),
    ],
)
def test_what_is_only_much_is_not(shape: dict[str, Any], rounds: int) -> None:
    refuse_impossible("words", stages_of(shape, rounds), SOCKETS)


def test_of_load_processes_that_join_nobody_knows_how_many_connections_they_can_open() -> None:
    refuse_impossible("words", stages_of({"shape": "closed", "users": 10**6}), None)


def plan_of(**load: int) -> Plan:
    chosen = [endpoint()]
    return make_plan("x", "x", Load(**load), endpoints(*chosen), chosen, MACHINE, {})


MOST = MOST_PER_CORE * MACHINE.cores


@pytest.mark.parametrize(
    ("load", "why"),
    [
        ({"processes": MOST + 1}, f"{MACHINE.cores} for them, .* plan one per core, {MOST} at most"),
        ({"attempts": 1_000}, "attempts = 1,000: .* plan 100 at most"),
        ({"answers": 10**9}, "answers = 1,000,000,000: .* keep 100,000 at most"),
    ],
)
def test_what_is_beyond_all_use_is_refused(load: dict[str, int], why: str) -> None:
    with pytest.raises(UsageError, match=rf"^\[load\] .*{why}"):
        refuse_senseless(plan_of(**load))


@pytest.mark.parametrize("load", [{}, {"processes": MOST}, {"attempts": 100}, {"answers": 100_000}])
def test_what_may_be_of_use_is_not(load: dict[str, int]) -> None:
    refuse_senseless(plan_of(**load))
