"""A whole plan under Locust, watched until it has written its records."""

from __future__ import annotations

import json
import time
from pathlib import Path

from contract.errors import LoadproofError, ServerError
from contract.files import read_model
from contract.progress import say
from contract.records import Observation, Plan
from loadtest.launching import HERE, PROGRESS, Locust
from loadtest.patience import run_limit_s
from loadtest.plan.planning import seconds
from loadtest.showing.live import read_live
from loadtest.showing.view import View

SPOILED = "the machine was busy: it was unsteady, or requests left late"


def total_seconds(plan: Plan) -> float:
    """About how long a run takes."""
    return 3.0 + plan.rounds * sum(seconds(variant) for variant in plan.variants)


def drive(plan: Plan, results: Path, live: Path, view: View, workers: int = 0, bind: tuple[str, int] = HERE) -> None:
    """Run Locust for a whole plan. Raises ServerError or LoadproofError when it failed.

    ``workers`` load processes are waited for at ``bind``, or as many as the plan says are started here. Of several
    variants one whose server could not be made ready is only said: the others were measured.
    """
    sockets = max(stage.in_flight for item in plan.variants for stage in item.stages)
    with Locust(plan, results, live, sockets, workers=workers, bind=bind, watched=view.wants_figures) as locust:
        _watch(locust, plan, results, view, run_limit_s(plan, workers))
    say_what_is_missing(plan, results, locust.log)


def say_what_is_missing(plan: Plan, results: Path, log: Path) -> None:
    """Of a run that has ended. Raises ServerError where no variant was measured."""
    observed = {item.id: results / f"server-stats-{item.id}.json" for item in plan.variants}
    missing = [name for name, file in observed.items() if not file.is_file()]
    if len(missing) == len(observed):
        raise ServerError(f"nothing was recorded for {', '.join(missing)}; see {log}")
    files = {name: file for name, file in observed.items() if name not in missing}
    partly = [name for name, file in files.items() if not read_model(file, Observation, "make loadtest").complete]
    for what, names in (("not measured", missing), ("not measured in every round", partly)):
        if names:
            say(f"{what}: {', '.join(names)}; the reason is in {log}, and in the report")


def _watch(locust: Locust, plan: Plan, results: Path, view: View, limit_s: float) -> None:
    started = time.monotonic()
    shown = Shown(plan, view)
    while (code := locust.code()) is None:
        time.sleep(0.1)
        shown.look(results / PROGRESS)
        if view.wants_figures and (figures := read_live(results)) is not None:
            view.show(figures)
        if time.monotonic() - started > limit_s:
            raise LoadproofError(f"Locust did not end within {limit_s:.0f} s; it was stopped and its records are kept")
    if code != 0:
        raise locust.failure()


class Shown:
    """Where a run is, on its bar."""

    def __init__(self, plan: Plan, view: View) -> None:
        self._plan = plan
        self._view = view
        self._text = ""
        self._at = (0, -1)  # round, variant
        self._again = False  # the stage before was measured once more
        self._base = 0.0  # where the step begins on the bar
        self._since = time.monotonic()

    def look(self, file: Path) -> None:
        """Move the bar to the step that the master has written down, and on with the time that it has been on."""
        try:
            text = file.read_text()
            step = json.loads(text)
        except (OSError, ValueError):
            return
        if text != self._text:
            self._text, self._since = text, time.monotonic()
            self._enter(step["round"], step["variant"], step["stage"], step["attempt"])
        self._view.move_to(self._base + time.monotonic() - self._since)

    def _enter(self, turn: int, variant: int, stage: int, attempt: int) -> None:
        plan = self._plan
        item = plan.variants[variant]
        lengths = [seconds(each) for each in plan.variants]
        begun = item.model_copy(update={"stages": item.stages[:stage]})
        self._base = 3.0 + (turn - 1) * sum(lengths) + sum(lengths[:variant]) + seconds(begun)
        which = f"round {turn}/{plan.rounds} " if plan.rounds > 1 else ""
        what = f"{which}[{variant + 1}/{len(plan.variants)}] {item.id}"
        name = item.stages[stage].name
        if attempt > 1:
            self._view.note(f"{what}: {name} again ({attempt} of at most {plan.attempts}), {SPOILED}")
        elif (turn, variant) != self._at:
            self._view.note(f"{what} ({lengths[variant]:.0f} s)")
        elif self._again:  # a terminal goes on showing what was said last
            self._view.note(f"{what}: {name}")
        self._at, self._again = (turn, variant), attempt > 1
