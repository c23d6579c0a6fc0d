"""The requests that were due in a stage's windows, as columns in the order of their intention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.records import StageObservation
from report.figures.requests import Requests, answered
from report.figures.windows import Windows
from tests.builders import SECOND, records

ROWS = [(1500.0, 1502.0, 1510.0), (1000.0, 1000.0, 1004.0), (2000.0, 2000.0, 2001.0), (999.0, 999.0, 1001.0)]


def seen(start_s: float, seconds: float, turn: int = 1) -> StageObservation:
    start = round(start_s * SECOND)
    end = start + round(seconds * SECOND)
    return StageObservation(stage=0, round=turn, window_start_ns=start, window_end_ns=end, client_cpu=0.1, server=None)


def due(rows: list[tuple[float, float, float]], *rounds: StageObservation, **more: Any) -> Requests:
    return Requests(records(rows, **more), more.get("stage", 0), rounds or (seen(1, 1),))


def test_what_was_due_is_in_the_order_of_intention_with_its_three_times() -> None:
    found = due(ROWS)
    assert len(found) == 2
    assert found.intended_s.tolist() == [0.0, 0.5]
    assert found.done_s.tolist() == [0.004, 0.51]
    assert found.latency_ms.tolist() == [4.0, 10.0]
    assert found.service_ms.tolist() == [4.0, 8.0]
    assert found.late_ms.tolist() == [0.0, 2.0]


def test_those_of_one_moment_stay_as_they_were() -> None:
    rows = [(1100.0, 1100.0, 1101.0 + n) for n in range(50)]
    assert due(rows).latency_ms.tolist() == [1.0 + n for n in range(50)]


def test_rounds_follow_each_other_whatever_lies_between() -> None:
    rows = [(5100.0, 5100.0, 5101.0), (3000.0, 3000.0, 3001.0), (1100.0, 1100.0, 1107.0)]
    found = due(rows, seen(1, 1), seen(5, 1, turn=2))
    assert found.intended_s.tolist() == [0.1, 1.1]
    assert found.latency_ms.tolist() == [7.0, 1.0]


def test_failures_are_counted_by_class_in_the_order_of_their_appearance() -> None:
    rows = [(1000.0 + n, 1000.0 + n, 1001.0 + n) for n in range(6)]
    found = due(rows, errors={1: "timeout", 2: "refused", 4: "timeout", 5: "reset"})
    assert list(found.errors.items()) == [("timeout", 2), ("refused", 1), ("reset", 1)]
    assert found.good.tolist() == [True, False, False, True, False, False]


@pytest.mark.parametrize("errors", [{}, {0: "timeout", 1: "timeout"}], ids=["all good", "none good"])
def test_all_or_none_may_be_good(errors: dict[int, str]) -> None:
    found = due(ROWS[:2], errors=errors)
    assert found.good.tolist() == [not errors] * 2
    assert found.errors == ({"timeout": 2} if errors else {})


def test_other_stages_and_no_records_at_all_are_nothing_due() -> None:
    for table in (records(ROWS, stage=3), records([])):
        found = Requests(table, 0, [seen(1, 1)])
        assert (len(found), found.errors, len(found.latency_ms)) == (0, {}, 0)
        assert len(answered(table, 0, found.windows)[0]) == 0


def test_parts_with_classes_of_their_own_are_one_column() -> None:
    parts = [records(ROWS[:1], errors={0: "timeout"}), records(ROWS[1:2]), records(ROWS[1:2], errors={0: "reset"})]
    found = Requests(pa.concat_tables(parts), 0, [seen(1, 1)])
    assert found.errors == {"reset": 1, "timeout": 1}
    assert found.good.tolist() == [True, False, False]


def test_what_was_answered_in_the_windows_counts_though_it_was_asked_for_before() -> None:
    came_s, latency_ms = answered(records(ROWS, errors={1: "timeout"}), 0, Windows([(1 * SECOND, 2 * SECOND)]))
    order = np.argsort(came_s)
    assert came_s[order].tolist() == [0.001, 0.51]
    assert latency_ms[order].tolist() == [2.0, 10.0]
