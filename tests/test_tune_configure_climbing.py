"""A climb carried out against a machine of known capacity: what is found, what is kept, and what ends it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.batching import Batching
from contract.errors import ParityError, ServerError
from contract.trials import Climb
from tests.known_capacity import ENDPOINT, Machine
from tune.configuration.climb import Space
from tune.configuration.climbing import Climber, Limits
from tune.configuration.gauging import Setting

SPACE = Space({"instances": (1, 2, 3, 4), "max_queue_delay_us": (0, 200, 1000)})
START = {"instances": 1, "max_queue_delay_us": 0}
CAPACITY = {1: 100.0, 2: 190.0, 3: 260.0, 4: 250.0}  # instances -> requests per second that keep the objectives
NO_LIMIT = Limits(trials=100, deadline=math.inf)


def capacity(batching: Batching) -> float:
    return CAPACITY[batching.instances] * (0.5 if batching.max_queue_delay_us == 1000 else 1.0)


def begun(**changes: Any) -> Climb:
    fields: dict[str, Any] = {
        "endpoint": ENDPOINT.id,
        "model": "words",
        "start": START,
        "noise": 0.0,
        "trials": [],
        "best": None,
        "gain": None,
        "ended": "",
    }
    return Climb(**(fields | changes))


def climber(machine: Machine, tmp_path: Path, saved: list[Climb] | None = None) -> Climber:
    kept: list[Climb] = [] if saved is None else saved
    return Climber(machine, machine, ENDPOINT, Setting("rate", tmp_path, in_flight=64), kept.append)


def test_the_best_configuration_is_found_confirmed_and_worth_what_the_machine_can_do(tmp_path: Path) -> None:
    found = climber(Machine(tmp_path, capacity), tmp_path).follow(begun(), SPACE, NO_LIMIT)
    assert found.best == {"instances": 3, "max_queue_delay_us": 0}
    assert [trial.purpose for trial in found.trials[:2]] == ["start", "again"]
    assert [trial.purpose for trial in found.trials[-2:]] == ["confirm", "confirm"]
    before, after = (trial.value or 0.0 for trial in found.trials[-2:])
    assert 95 <= before <= 100 and 247 <= after <= 260  # one resolution of 5 % below at most
    assert found.gain == pytest.approx(after / before - 1)


def test_each_trial_is_a_variant_of_its_own_with_the_configuration_that_was_loaded(tmp_path: Path) -> None:
    machine = Machine(tmp_path, capacity)
    found = climber(machine, tmp_path).follow(begun(), SPACE, NO_LIMIT)
    ids = [trial.variant for trial in found.trials]
    assert ids == [f"{ENDPOINT.id}__trial-{number:02d}" for number in range(1, len(ids) + 1)]
    for trial in found.trials:
        assert machine.endpoints[trial.variant].configuration.instances == trial.configuration["instances"]


def test_a_neighbour_that_is_no_better_costs_few_windows(tmp_path: Path) -> None:
    machine = Machine(tmp_path, capacity)
    found = climber(machine, tmp_path).follow(begun(), SPACE, NO_LIMIT)
    worse = [trial for trial in found.trials if trial.purpose == "climb" and trial.value is None]
    assert worse
    for trial in worse:
        rates = {stage.rate for stage in machine.stages[trial.variant]}
        assert len(rates) == 1, "one rate, above the best, is all that is asked"


def test_a_configuration_that_does_not_load_is_kept_as_failed_and_the_climb_goes_on(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, capacity, lambda batching: ServerError("out of memory") if batching.instances == 3 else None
    )
    found = climber(machine, tmp_path).follow(begun(), SPACE, NO_LIMIT)
    assert found.best == {"instances": 2, "max_queue_delay_us": 0}
    failed = [trial for trial in found.trials if trial.outcome == "failed"]
    assert [(trial.configuration["instances"], trial.reason) for trial in failed] == [(3, "out of memory")]


def test_wrong_answers_count_as_a_failure_of_the_configuration(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, capacity, lambda batching: ParityError("wrong") if batching.max_queue_delay_us else None
    )
    found = climber(machine, tmp_path).follow(begun(), SPACE, NO_LIMIT)
    assert found.best == {"instances": 3, "max_queue_delay_us": 0}


def test_a_server_that_does_not_take_the_start_back_ends_the_climb(tmp_path: Path) -> None:
    saved: list[Climb] = []
    gone: list[bool] = []

    def refused(batching: Batching) -> Exception | None:
        gone.extend([True] * (batching.instances == 2))
        return ServerError("the server is gone") if gone else None

    with pytest.raises(ServerError, match="gone"):
        climber(Machine(tmp_path, capacity, refused), tmp_path, saved).follow(begun(), SPACE, NO_LIMIT)
    assert [trial.purpose for trial in saved[-1].trials] == ["start", "again"]


@pytest.mark.parametrize("cut", [1, 2, 4, 6])
def test_a_climb_that_was_interrupted_goes_on_from_what_was_saved(tmp_path: Path, cut: int) -> None:
    whole = climber(Machine(tmp_path, capacity), tmp_path).follow(begun(), SPACE, NO_LIMIT)
    machine = Machine(tmp_path, capacity)
    saved: list[Climb] = []

    def interrupted(batching: Batching) -> Exception | None:
        if len(saved) == cut:
            raise KeyboardInterrupt
        return None

    with pytest.raises(KeyboardInterrupt):
        climber(Machine(tmp_path, capacity, interrupted), tmp_path, saved).follow(begun(), SPACE, NO_LIMIT)
    assert len(saved[-1].trials) == cut and saved[-1].ended == ""
    rest = climber(machine, tmp_path).follow(saved[-1], SPACE, NO_LIMIT)
    assert [trial.configuration for trial in rest.trials] == [trial.configuration for trial in whole.trials]
    assert rest.best == whole.best
    assert len(machine.stages) == len(whole.trials) - cut


def test_no_step_of_the_climb_begins_after_its_trials_or_its_time(tmp_path: Path) -> None:
    few = climber(Machine(tmp_path, capacity), tmp_path).follow(begun(), SPACE, replace(NO_LIMIT, trials=3))
    assert [trial.purpose for trial in few.trials] == ["start", "again", "climb", "confirm", "confirm"]
    assert few.best == {"instances": 2, "max_queue_delay_us": 0} and "used up" in few.ended
    late = climber(Machine(tmp_path, capacity), tmp_path).follow(begun(), SPACE, replace(NO_LIMIT, deadline=0.0))
    assert [trial.purpose for trial in late.trials] == ["start", "again"] and late.best is None
