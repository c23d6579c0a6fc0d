"""Carry out the trials of one endpoint: load a configuration, prove it, measure it, write it down, decide again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from contract.batching import Batching
from contract.endpoints import Endpoint
from contract.errors import ParityError, ServerError, UsageError
from contract.progress import say
from contract.records import VariantPlan
from contract.trials import Climb, Trial
from tune.configuration.climb import Space, key
from tune.configuration.gauging import Loading, Question, Setting, Worth, gauge
from tune.configuration.space import with_settings
from tune.configuration.trials import UNITS, Ended, Wanted, concluded, known, next_trial, noise
from tune.configuration.tuned import assignments, changed

LOUD = 0.2  # noise that hides what most settings gain


class Reloading(Protocol):
    """What a climb needs of `serving.rolling.reconfiguring.Reconfigured`."""

    batching: Batching

    def apply(self, batching: Batching) -> list[Endpoint]: ...


class Watcher(Protocol):
    """Who is told of the trials of climbs."""

    def begins(self, climb: Climb, wanted: Wanted) -> None: ...

    def over(self, climb: Climb) -> None: ...


class Nobody:
    """Hears of none."""

    def begins(self, climb: Climb, wanted: Wanted) -> None: ...

    def over(self, climb: Climb) -> None: ...


@dataclass(frozen=True)
class Limits:
    """When a climb takes no more steps: after so many trials of it, or at a moment of time.monotonic()."""

    trials: int
    deadline: float


class Climber:
    """Goes on with a climb to its end. ``save`` gets the climb after each trial, so that an interruption loses one.

    A ``watcher`` hears of each trial as it begins and when it is over.
    """

    def __init__(
        self,
        session: Loading,
        model: Reloading,
        endpoint: Endpoint,
        setting: Setting,
        save: Callable[[Climb], None],
        watcher: Watcher = Nobody(),  # noqa: B008 (it has no state)
    ) -> None:
        self._session = session
        self._model = model
        self._endpoint = endpoint
        self._setting = setting
        self._save = save
        self._watcher = watcher

    def follow(self, climb: Climb, space: Space, limits: Limits) -> Climb:
        """All trials that are left. Raises ServerError where not even the start can be loaded and measured."""
        objective = self._setting.objective
        while True:
            more = len(climb.trials) < limits.trials and time.monotonic() < limits.deadline
            step = next_trial(climb, objective, space, more)
            if isinstance(step, Ended):
                climb = concluded(climb, objective, step.reason)
                self._save(climb)
                self._watcher.over(climb)
                return climb
            self._watcher.begins(climb, step)
            trial = self._try(climb, step)
            climb = climb.model_copy(update={"trials": [*climb.trials, trial]})
            climb = climb.model_copy(update={"noise": noise(climb, objective)})
            self._save(climb)
            self._watcher.over(climb)
            say(f"{self._endpoint.id}  {told(trial, climb, UNITS[objective])}")
            if trial.purpose == "again" and climb.noise > LOUD:
                say(f"the same configuration twice differs by {climb.noise:.0%}: only what gains more can be found now")

    def _try(self, climb: Climb, step: Wanted) -> Trial:
        began = time.monotonic()
        variant = f"{self._endpoint.id}__trial-{len(climb.trials) + 1:02d}"
        load_s: float | None = None
        try:
            proven = self._model.apply(with_settings(self._model.batching, step.configuration))
            own = next(item for item in proven if item.id == self._endpoint.id)
            endpoint = own.model_copy(update={"id": variant})  # another configuration, so an endpoint of its own
            load_s = endpoint.load_to_ready_s
            worth = gauge(self._session, self._question(climb, step, variant, endpoint), self._setting)
        except (ServerError, ParityError, UsageError) as error:  # the last: a batch beyond TensorRT's profiles
            if step.configuration == climb.start:
                raise
            worth = Worth("failed", None, str(error))
            # A server that does not take this back is gone, and with it whatever could be measured.
            self._model.apply(with_settings(self._model.batching, climb.start))
        return Trial(
            variant=variant,
            results=self._setting.results.name,
            purpose=step.purpose,
            configuration=dict(step.configuration),
            outcome=worth.outcome,
            value=None if worth.value is None else round(worth.value, 3),
            reason=worth.reason,
            load_s=load_s,
            seconds=round(time.monotonic() - began, 2),
        )

    def _question(self, climb: Climb, step: Wanted, variant: str, endpoint: Endpoint) -> Question:
        """A step of the climb only has to beat the best; what is measured again begins where it was before."""
        worths = known(climb, "rate") if self._setting.objective == "rate" else {}
        best = max((worth for worth in worths.values() if worth is not None), default=None)
        return Question(
            variant=VariantPlan(id=variant, endpoint=endpoint, stages=[], repeat_of=None),
            least=best * (1 + climb.noise) if best is not None and step.purpose == "climb" else None,
            expected=worths.get(key(step.configuration)),
            confirmed=step.purpose == "confirm",
        )


def told(trial: Trial, climb: Climb, unit: str) -> str:
    """A trial in one line: what was changed, and what came of it."""
    settings = ", ".join(assignments(changed(climb.start, trial.configuration))) or "as it was"
    figure = "" if trial.value is None else f"{trial.value:,.4g} {unit}"
    came = ", ".join(filter(None, [figure, trial.reason]))
    return f"{trial.purpose:7} {settings}: {came} ({trial.seconds:.0f} s)"
