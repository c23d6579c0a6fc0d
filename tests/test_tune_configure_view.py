"""What a person sees of climbs that go on: what is tried, the best so far, and how many trials may still come."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from contract.trials import Climb, Trial, Trials
from tests.known_capacity import ENDPOINT, Machine
from tests.test_tune_configure_climbing import SPACE, begun, capacity
from tune.configuration.climbing import Climber, Limits
from tune.configuration.gauging import Setting
from tune.configuration.trials import Wanted, left
from tune.configuration.view import ABOUT_S, ClimbsView, drawn
from tune.stepwise import HERE

START = begun().start


def shown(table: RenderableType) -> list[str]:
    """The rows of a table as a terminal shows them, without its frame."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    lines = [line.strip("│┃ ") for line in console.export_text().splitlines() if line[:1] in "│┃"]
    return [" | ".join(cell.strip() for cell in line.replace("┃", "│").split("│")) for line in lines]


def trial(purpose: str, value: float | None, **changes: Any) -> Trial:
    fields: dict[str, Any] = {
        "variant": "x",
        "results": "x",
        "purpose": purpose,
        "configuration": START,
        "outcome": "missed" if value is None else "measured",
        "value": value,
        "load_s": 1.0,
        "seconds": 9.0,
    }
    return Trial(**(fields | changes))


TWO = {**START, "instances": 2}
TRIED = [trial("start", 100.0), trial("again", 90.0), trial("climb", 190.0, configuration=TWO), trial("climb", None)]


def test_what_is_tried_is_shown_beside_the_start_and_the_best_so_far() -> None:
    table = drawn([begun(trials=TRIED)], "rate", 20, ENDPOINT.id, Wanted("climb", {**TWO, "max_queue_delay_us": 200}))
    heads, row = shown(table)
    assert heads == "endpoint | trials | at most | as it was, requests/s | best so far | with | what comes next"
    tried = "climb instances = 2, max_queue_delay_us = 200"
    assert row == f"{HERE} | {ENDPOINT.id} | 4 | 22 | 95 | 190 | instances = 2 | {tried}"


def test_the_best_latency_is_the_lowest() -> None:
    (_, row) = shown(drawn([begun(trials=[trial("start", 50.0), trial("again", 50.0), *TRIED[2:]])], "latency", 20))
    assert "| 50 | 50 | as it was |" in row


def test_a_climb_waits_decides_and_ends() -> None:
    ended = begun(trials=TRIED, ended="no neighbour is better", best=TWO, gain=0.9)
    climbs = [begun(), begun(trials=TRIED), ended, ended.model_copy(update={"best": None})]
    rows = shown(drawn(climbs, "rate", 20))[1:]
    ends = ("waits", "decides", "done: instances = 2", "done: nothing better")
    assert [row.rsplit(" | ", 1)[1] for row in rows] == list(ends)
    assert [row.split(" | ")[1:3] for row in rows] == [["0", "22"], ["4", "22"], ["4", "4"], ["4", "4"]]


def test_an_ended_climb_has_nothing_left_and_another_its_trials_and_two_confirmations() -> None:
    assert left(begun(), 20) == 22
    assert left(begun(trials=TRIED), 20) == 18
    assert left(begun(trials=TRIED), 1) == 0
    assert left(begun(trials=TRIED, ended="used up"), 20) == 0


class Recording(ClimbsView):
    """Remembers every table and how far the bar was."""

    def __init__(self, trials: Trials, most: int) -> None:
        self.seen: list[tuple[list[str], float]] = []
        super().__init__(trials, most)

    def begin(self, table: RenderableType, most_s: float = math.inf) -> None:
        self.seen.append((shown(table), -1.0))
        super().begin(table, most_s)

    def end(self, table: RenderableType, done_s: float) -> None:
        self.seen.append((shown(table), done_s))
        super().end(table, done_s)


def test_a_climb_tells_its_view_of_every_trial_before_and_after_it(tmp_path: Path) -> None:
    climb, kept = begun(), list[Climb]()
    with Recording(Trials(schema_version=1, objective="rate", at_rate=None, climbs=[climb]), 20) as view:
        assert not view.wants_figures, "there is no terminal here"
        machine = Machine(tmp_path, capacity)
        climber = Climber(machine, machine, ENDPOINT, Setting("rate", tmp_path, in_flight=64), kept.append, view)
        found = climber.follow(climb, SPACE, Limits(trials=20, deadline=math.inf))
    begins = [rows[1] for rows, done_s in view.seen if done_s < 0]
    assert len(begins) == len(found.trials)
    for each, row in zip(found.trials, begins, strict=True):
        assert row.startswith(HERE) and f"| {each.purpose} " in row
    bars = [done_s for _, done_s in view.seen if done_s >= 0]
    assert bars == sorted(bars) and bars[0] == ABOUT_S
    assert bars[-1] == 22 * ABOUT_S, "what was not tried is done with the climb"
    assert view.seen[-1][0][1].endswith("done: instances = 3")
