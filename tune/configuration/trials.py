"""What to try next for one endpoint, and what came of it at last: decided by the list of its trials alone. Pure.

Order: the configuration as it is, the same once more (two measurements of one thing tell the noise), the climb, and at
last the start and the best found once more, one after the other. The best of many noisy figures is partly luck, so
only this last comparison is the claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contract.trials import Climb, Objective, Trial
from tune.configuration.climb import Configuration, Key, Space, key, stand

Purpose = Literal["start", "again", "climb", "confirm"]
UNITS: dict[Objective, str] = {"rate": "requests/s", "latency": "ms p99"}
LEAST_NOISE: dict[Objective, float] = {"rate": 0.05, "latency": 0.10}


@dataclass(frozen=True)
class Wanted:
    """A configuration to be tried, and what for."""

    purpose: Purpose
    configuration: Configuration


@dataclass(frozen=True)
class Ended:
    """There is nothing more to try, and why."""

    reason: str


def worth(trial: Trial, objective: Objective) -> float | None:
    """What a trial is worth to a climb, which wants more: the rate, or one over the latency. None without a value."""
    if trial.value is None or trial.value <= 0:
        return None
    return trial.value if objective == "rate" else 1 / trial.value


def next_trial(climb: Climb, objective: Objective, space: Space, more: bool) -> Wanted | Ended:
    """What comes after the trials so far; ``more`` is false when the climb's trials or its time are used up."""
    purposes = [trial.purpose for trial in climb.trials]
    for purpose in ("start", "again"):
        if purpose not in purposes:
            return Wanted(purpose, climb.start)
    if all(trial.outcome == "failed" for trial in climb.trials[:2]):
        return Ended(f"the configuration as it is could not be measured: {climb.trials[1].reason}")
    standing = stand(space, climb.start, known(climb, objective), climb.noise)
    confirmations = [trial for trial in climb.trials if trial.purpose == "confirm"]
    if standing.wanted is not None and more and not confirmations:
        return Wanted("climb", standing.wanted)
    why = "no neighbour is better by more than the noise" if standing.wanted is None else "its trials are used up"
    best = standing.best or climb.start
    if key(best) == key(climb.start):
        return Ended(why)
    waiting = [climb.start, best][len(confirmations) :]
    return Wanted("confirm", waiting[0]) if waiting else Ended(why)


def left(climb: Climb, most: int) -> int:
    """Trials that may still come, the two confirmations with them; ``most`` is how many may come before these two."""
    return 0 if climb.ended else max(0, most + 2 - len(climb.trials))


def known(climb: Climb, objective: Objective) -> dict[Key, float | None]:
    """`key` of a configuration -> its worth: of the start the mean of its two trials. Confirmations steer nothing."""
    found: dict[Key, list[float | None]] = {}
    for trial in climb.trials:
        if trial.purpose != "confirm":
            found.setdefault(key(trial.configuration), []).append(worth(trial, objective))
    return {each: _mean(values) for each, values in found.items()}


def noise(climb: Climb, objective: Objective) -> float:
    """The relative difference of the first two trials of the start, and never less than what a trial resolves."""
    return _spread([trial for trial in climb.trials if trial.purpose in ("start", "again")], objective)


def concluded(climb: Climb, objective: Objective, reason: str) -> Climb:
    """The climb at its end: its best is what the confirmation showed to be better than the start, if anything."""
    pair = [trial for trial in climb.trials if trial.purpose == "confirm"]
    if len(pair) < 2:
        return climb.model_copy(update={"ended": reason})
    spoiled = next((trial.reason for trial in pair if trial.outcome == "failed"), "")
    if spoiled:
        return climb.model_copy(update={"ended": f"{reason}; the best of the climb could not be confirmed: {spoiled}"})
    before, after = (worth(trial, objective) for trial in pair)
    gain = after / before - 1 if before and after else None
    # The start has been measured three times by now: what the machine drifted meanwhile is noise too.
    spread = _spread([trial for trial in climb.trials if trial.configuration == climb.start], objective)
    better = after is not None and (before is None or after > before * (1 + spread))
    best = pair[1].configuration if better else None
    update = {"best": best, "gain": gain, "noise": spread, "ended": reason}
    if not better:
        update["ended"] = f"{reason}; the best of the climb was no better than the start when both were measured again"
    return climb.model_copy(update=update)


def _spread(trials: list[Trial], objective: Objective) -> float:
    """How far the worths of one configuration lie apart, relative to the highest."""
    several = [found for trial in trials if (found := worth(trial, objective)) is not None]
    return max([LEAST_NOISE[objective], *([1 - min(several) / max(several)] if several else [])])


def _mean(values: list[float | None]) -> float | None:
    several = [value for value in values if value is not None]
    return sum(several) / len(several) if several else None
