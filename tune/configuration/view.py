"""What a person sees of climbs that go on: what is tried, the best so far, and how many trials may still come."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from contract.trials import Climb, Objective, Trials
from tune.configuration.climb import Configuration, key
from tune.configuration.trials import UNITS, Wanted, known, left
from tune.configuration.tuned import assignments, changed
from tune.stepwise import ABSENT, Stepwise, table

ABOUT_S = 25.0  # of one trial on two cores: the reload, its proof, a coarse search
WORDS = ("endpoint", "with", "what comes next")
AS_IT_WAS = "as it was"


class ClimbsView(Stepwise):
    """``with ClimbsView(trials, most) as view: ...``; ``most`` trials of each endpoint come before the last two."""

    def __init__(self, trials: Trials, most: int) -> None:
        self._climbs = {climb.endpoint: climb for climb in trials.climbs}
        self._objective: Objective = trials.objective
        self._most = most
        self._at_first = self._left()
        super().__init__("configure", self._at_first * ABOUT_S, self._drawn())

    def begins(self, climb: Climb, wanted: Wanted) -> None:
        """A configuration is about to be tried."""
        self.begin(self._drawn(climb.endpoint, wanted), ABOUT_S)

    def over(self, climb: Climb) -> None:
        """A trial was made, or the climb has ended: what it might still have tried is done with it."""
        self._climbs[climb.endpoint] = climb
        self.end(self._drawn(), (self._at_first - self._left()) * ABOUT_S)

    def _left(self) -> int:
        return sum(left(climb, self._most) for climb in self._climbs.values())

    def _drawn(self, on: str = "", wanted: Wanted | None = None) -> Table:
        return drawn(list(self._climbs.values()), self._objective, self._most, on, wanted)


def drawn(
    climbs: Sequence[Climb], objective: Objective, most: int, on: str = "", wanted: Wanted | None = None
) -> Table:
    """Every climb as it stands; ``wanted`` is what is being tried of the endpoint ``on``."""
    heads = ("endpoint", "trials", "at most", f"{AS_IT_WAS}, {UNITS[objective]}", "best so far", "with", WORDS[-1])
    rows = [_row(climb, objective, most, wanted if climb.endpoint == on else None) for climb in climbs]
    return table(heads, WORDS, rows, next((n for n, climb in enumerate(climbs) if climb.endpoint == on), None))


def _row(climb: Climb, objective: Objective, most: int, wanted: Wanted | None) -> tuple[str, ...]:
    """As the climb itself sees it: what was measured twice counts with its mean, and confirmations steer nothing."""
    worths = {tried: worth for tried, worth in known(climb, objective).items() if worth is not None}
    best = max(worths, key=worths.__getitem__, default=None)
    return (
        climb.endpoint,
        str(len(climb.trials)),
        str(len(climb.trials) + left(climb, most)),
        _figure(worths.get(key(climb.start)), objective),
        _figure(worths[best], objective) if best is not None else ABSENT,
        _settings(climb, dict(best)) if best is not None else ABSENT,
        _next(climb, wanted),
    )


def _next(climb: Climb, wanted: Wanted | None) -> str:
    if climb.ended:
        return "done: nothing better" if climb.best is None else f"done: {_settings(climb, climb.best)}"
    if wanted is None:
        return "waits" if not climb.trials else "decides"
    return f"{wanted.purpose} {_settings(climb, wanted.configuration)}"


def _settings(climb: Climb, configuration: Configuration) -> str:
    return ", ".join(assignments(changed(climb.start, configuration))) or AS_IT_WAS


def _figure(worth: float | None, objective: Objective) -> str:
    """What a worth is in the objective's unit: a rate itself, of a latency one over it."""
    if worth is None:
        return ABSENT
    return f"{worth if objective == 'rate' else 1 / worth:,.4g}"
