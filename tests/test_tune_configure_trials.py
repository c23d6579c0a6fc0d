"""The list of trials alone decides what is tried next, and only the last comparison is a claim."""

from __future__ import annotations

from typing import Any

import pytest

from contract.trials import Climb, Objective, Trial
from tune.configuration.climb import Configuration, Space, key
from tune.configuration.trials import LEAST_NOISE, Ended, Wanted, concluded, known, next_trial, noise

START: Configuration = {"instances": 1}
SPACE = Space({"instances": (1, 2, 3)})


def trial(purpose: Any, value: float | None, instances: int = 1) -> Trial:
    return Trial(
        variant="words__trial-01",
        results="20260131-120000",
        purpose=purpose,
        configuration={"instances": instances},
        outcome="measured" if value is not None else "missed",
        value=value,
        load_s=1.0,
        seconds=10.0,
    )


def climb(*trials: Trial, spread: float = 0.05) -> Climb:
    return Climb(
        endpoint="words",
        model="words",
        start=dict(START),
        noise=spread,
        trials=list(trials),
        best=None,
        gain=None,
        ended="",
    )


def test_a_configuration_comes_back_from_its_file_as_it_went() -> None:
    start: Configuration = {"ragged": True, "length_buckets": (16, 32), "instances": 1}
    begun = climb().model_copy(update={"start": dict(start)})
    read = Climb.model_validate_json(begun.model_dump_json())
    assert read.start == start and [type(value) for value in read.start.values()] == [bool, tuple, int]
    assert key(read.start) == key(start)


BEGUN = (trial("start", 100.0), trial("again", 104.0))
CLIMBED = (*BEGUN, trial("climb", 150.0, 2), trial("climb", 151.0, 3))


@pytest.mark.parametrize(
    ("trials", "more", "expected"),
    [
        ((), True, Wanted("start", {"instances": 1})),
        (BEGUN[:1], True, Wanted("again", {"instances": 1})),
        (BEGUN, True, Wanted("climb", {"instances": 2})),
        ((*BEGUN, trial("climb", 150.0, 2)), True, Wanted("climb", {"instances": 3})),
        (CLIMBED, True, Wanted("confirm", {"instances": 1})),
        ((*CLIMBED, trial("confirm", 101.0)), True, Wanted("confirm", {"instances": 2})),
        # out of trials or of time: what was found until then is confirmed
        ((*BEGUN, trial("climb", 150.0, 2)), False, Wanted("confirm", {"instances": 1})),
        # resumed between the two confirmations with time left: the climb does not begin again
        ((*BEGUN, trial("climb", 150.0, 2), trial("confirm", 100.0)), True, Wanted("confirm", {"instances": 2})),
    ],
)
def test_the_next_trial_follows_from_those_before(trials: tuple[Trial, ...], more: bool, expected: Wanted) -> None:
    assert next_trial(climb(*trials), "rate", SPACE, more) == expected


@pytest.mark.parametrize(
    ("trials", "more", "words"),
    [
        ((*BEGUN, trial("climb", 99.0, 2)), True, "no neighbour is better"),
        ((*BEGUN,), False, "used up"),
        ((*CLIMBED, trial("confirm", 101.0), trial("confirm", 150.0, 2)), True, "no neighbour is better"),
    ],
)
def test_a_climb_ends_with_its_reason(trials: tuple[Trial, ...], more: bool, words: str) -> None:
    found = next_trial(climb(*trials), "rate", SPACE, more)
    assert isinstance(found, Ended) and words in found.reason


@pytest.mark.parametrize(
    ("first", "second", "objective", "expected"),
    [
        (100.0, 80.0, "rate", 0.2),
        (100.0, 99.0, "rate", LEAST_NOISE["rate"]),
        (10.0, 12.5, "latency", 0.2),
        (None, 100.0, "rate", LEAST_NOISE["rate"]),
    ],
)
def test_the_noise_is_how_far_two_trials_of_the_start_lie_apart(
    first: float | None, second: float, objective: Objective, expected: float
) -> None:
    assert noise(climb(trial("start", first), trial("again", second)), objective) == pytest.approx(expected)


def test_less_latency_is_worth_more() -> None:
    worths = known(climb(trial("start", 20.0), trial("climb", 10.0, 2)), "latency")
    assert worths[(("instances", 2),)] == 2 * (worths[(("instances", 1),)] or 0.0)


@pytest.mark.parametrize(
    ("before", "after", "best", "gain"),
    [
        (100.0, 150.0, {"instances": 2}, 0.5),
        (100.0, 104.0, None, 0.04),  # within the noise
        (100.0, 90.0, None, -0.1),
        (70.0, 105.0, {"instances": 2}, 0.5),
        (70.0, 90.0, None, 0.286),  # the start itself was 104 and 70: a third is noise
        (None, 150.0, {"instances": 2}, None),  # the start kept its objectives at no rate
        (100.0, None, None, None),
    ],
)
def test_only_what_is_better_when_both_are_measured_again_is_the_best(
    before: float | None, after: float | None, best: dict[str, int] | None, gain: float | None
) -> None:
    found = concluded(climb(*CLIMBED, trial("confirm", before), trial("confirm", after, 2)), "rate", "done")
    assert found.best == best
    assert found.gain == (None if gain is None else pytest.approx(gain, abs=1e-3))
    assert found.ended.startswith("done") and ("no better than the start" in found.ended) == (best is None)


def test_a_confirmation_that_could_not_be_measured_says_so_and_claims_nothing() -> None:
    spoiled = trial("confirm", None, 2).model_copy(update={"outcome": "failed", "reason": "8 % left late"})
    found = concluded(climb(*CLIMBED, trial("confirm", 100.0), spoiled), "rate", "done")
    assert found.best is None and "could not be confirmed: 8 % left late" in found.ended


def test_without_a_confirmation_nothing_is_claimed() -> None:
    found = concluded(climb(*CLIMBED), "rate", "done")
    assert found.best is None and found.gain is None and found.ended == "done"
