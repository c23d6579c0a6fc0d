"""What happened to the servers stands where it happened: on the seconds of the stage that was being measured."""

from __future__ import annotations

from typing import Any

import pytest

from contract.events import Event, happened
from contract.records import StageObservation
from contract.verdict import Fault
from report.figures.faults import faults
from report.page.charts import Charts
from tests import report_samples as samples
from tests.builders import endpoint

SECOND = 1_000_000_000


def window(begin_s: float, end_s: float, turn: int = 1) -> StageObservation:
    return StageObservation(
        stage=0,
        round=turn,
        window_start_ns=int(begin_s * SECOND),
        window_end_ns=int(end_s * SECOND),
        client_cpu=0.1,
        server=None,
    )


def event(at_s: float | None, **changes: Any) -> Event:
    made = happened("died", "triton", None, "it was killed")
    return made.model_copy(update={"at_ns": None if at_s is None else int(at_s * SECOND)} | changes)


def test_a_fault_stands_at_its_second_of_the_windows() -> None:
    found = faults([event(12.5), event(31.0)], endpoint(), [window(10, 15), window(30, 35, turn=2)])
    assert [(fault.t_s, fault.what) for fault in found] == [(2.5, "died"), (6.0, "died")]


@pytest.mark.parametrize("other", [event(9.0), event(15.0), event(None), event(12.0, engine="tfserving")])
def test_what_happened_at_another_time_or_to_another_server_is_no_fault_of_the_stage(other: Event) -> None:
    assert faults([other], endpoint(), [window(10, 15)]) == []


def test_an_event_of_now_tells_its_moment_by_the_clock_of_the_records() -> None:
    first, second = (happened("died", "triton", None, "") for _ in range(2))
    assert first.at_ns is not None and second.at_ns is not None and first.at_ns <= second.at_ns


def test_a_fault_is_marked_in_its_stage_and_in_the_whole_run() -> None:
    base = samples.report()
    first = base.variants[0]
    hit = first.stages[1].model_copy(update={"faults": [Fault(t_s=1.5, what="died", detail="it was <killed>")]})
    variant = first.model_copy(update={"stages": [first.stages[0], hit, *first.stages[2:]]})
    chart = Charts(samples.report(variants=[variant, *base.variants[1:]]), first.model).course()
    for name, at in (("closed-4", 1.5), ("the whole run", first.stages[0].duration_s + 1.5)):
        (mark,) = [trace for trace in chart.panels[0].figures[name]["data"] if trace["name"] == "fault"]
        assert (mark["x"], mark["meta"]) == ([at], first.id)
        assert "died: it was &lt;killed&gt;" in mark["hovertext"][0]
    assert "fault" not in [trace["name"] for trace in chart.panels[0].figures["closed-1"]["data"]]
