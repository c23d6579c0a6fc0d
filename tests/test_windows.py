"""The windows of several rounds as one: what lies inside, where, and what the last attempt of each round is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.records import ServerCounters, Stage, StageObservation
from contract.slo import Slo
from report.figures.answers import Judged
from report.figures.summary import summarize
from report.figures.windows import Windows, counted, final
from tests.builders import open_stage, records

SECOND = 1_000_000_000
COUNTS = {
    "inferences": 6,
    "executions": 3,
    "success": 4,
    "queue_ns": 10,
    "compute_input_ns": 1,
    "compute_infer_ns": 2,
    "compute_output_ns": 3,
}


def seen(start_s: float, seconds: float, turn: int = 1, attempt: int = 1, **changes: Any) -> StageObservation:
    fields: dict[str, Any] = {
        "stage": 0,
        "round": turn,
        "attempt": attempt,
        "window_start_ns": round(start_s * SECOND),
        "window_end_ns": round((start_s + seconds) * SECOND),
        "client_cpu": 0.1 * turn,
        "server": None,
    }
    return StageObservation(**(fields | changes))


def moments(*seconds: float) -> Any:
    return np.array([round(second * SECOND) for second in seconds], dtype=np.int64)


TWO = Windows([(20 * SECOND, 21 * SECOND), (10 * SECOND, 12 * SECOND)])


def test_windows_are_put_in_order_and_add_up() -> None:
    assert TWO.seconds == 3.0
    assert TWO.spans[0][0] == 10 * SECOND


def test_a_moment_is_inside_from_a_windows_start_until_before_its_end() -> None:
    inside = TWO.inside(moments(9.9, 10, 11.9, 12, 15, 20, 20.5, 21, 30))
    assert inside.tolist() == [False, True, True, False, False, True, True, False, False]


def test_positions_go_on_from_one_window_to_the_next() -> None:
    assert TWO.position(moments(10, 11.5, 20, 20.25)).tolist() == [0, 1.5, 2.0, 2.25]


def test_an_answer_after_its_own_window_counts_as_after_all_of_them_though_it_came_in_the_next() -> None:
    found = TWO.answered(moments(11.9, 11.9, 20.9), moments(11.95, 20.5, 21.5))
    assert found.tolist() == pytest.approx([1.95, 3.0 + 8.5, 3.5])


def test_one_window_is_its_own_case_and_no_other() -> None:
    one = Windows([(10 * SECOND, 12 * SECOND)])
    assert one.inside(moments(9.9, 10, 11.9, 12)).tolist() == [False, True, True, False]
    assert one.position(moments(10, 11.5)).tolist() == [0.0, 1.5]
    assert one.answered(moments(10, 11.9), moments(10.5, 13.0)).tolist() == [0.5, 3.0]


def test_the_last_attempt_of_each_round_counts() -> None:
    attempts = [seen(0, 1), seen(2, 1, attempt=2), seen(9, 1, turn=2), seen(0, 1, stage=1)]
    assert [(item.round, item.attempt) for item in final(attempts, 0)] == [(1, 2), (2, 1)]


def test_counters_of_the_rounds_add_up_and_one_that_is_not_known_makes_the_sum_unknown() -> None:
    known = seen(0, 1, server=ServerCounters(**COUNTS))
    assert counted([known, known]) == ServerCounters(**{name: 2 * value for name, value in COUNTS.items()})
    assert counted([known, seen(2, 1)]) is None


def test_a_stage_of_two_rounds_is_judged_over_both() -> None:
    stage = Stage(name="open-10", mode="open", concurrency=None, rate=10.0, duration_s=1.0, warmup_s=0.0, in_flight=8)
    # Ten requests in each window, 5 ms each in the first and 9 ms in the second; some between and around them.
    first = [(1000 + 100 * n, 1000 + 100 * n, 1005 + 100 * n) for n in range(10)]
    second = [(5000 + 100 * n, 5001 + 100 * n, 5009 + 100 * n) for n in range(10)]
    between = [(900, 900, 905), (2500, 2500, 2600), (6100, 6100, 6101)]
    rounds = [seen(1, 1), seen(5, 1, turn=2, attempt=2)]
    found = summarize(stage, rounds, records([*second, *between, *first]), Judged(), Slo())
    assert (found.requests, found.duration_s, found.offered_rps, found.throughput_rps) == (20, 2.0, 10.0, 10.0)
    assert (found.latency_ms.p50.value, found.latency_ms.p99.value) == (5.0, 9.0)
    assert found.client_cpu == pytest.approx(0.2)  # of the busier round
    assert found.course[-1].t_s > 1.5
    assert found.notes == ["attempt 2 in round 2: before it the machine was not steady, or sends were late"]


@pytest.mark.parametrize(
    ("purpose", "interrupted", "reasons"),
    [
        ("measure", False, ["duration: 1.5 s of 2 s planned"]),
        ("probe", False, []),  # the search ends a window that is hopeless or clear
        ("confirm", True, ["duration: 1.5 s of 2 s planned: it was interrupted"]),
    ],
)
def test_the_rounds_of_a_stage_have_to_last_as_long_as_they_were_planned(
    purpose: str, interrupted: bool, reasons: list[str]
) -> None:
    stage = open_stage(1000.0, 1.0).model_copy(update={"purpose": purpose})
    rows = [(n, n, n + 1) for n in [*range(1000), *range(5000, 5500)]]
    judged = Judged()
    judged.checked = 5
    rounds = [seen(0, 1), seen(5, 0.5, turn=2, interrupted=interrupted)]
    found = summarize(stage, rounds, records(rows), judged, Slo())
    assert found.reasons == reasons and found.valid is not bool(reasons)


def test_what_was_held_back_in_any_round_is_told_and_not_blamed_on_the_client() -> None:
    late = [(n, max(n, 700 + n / 5), max(n, 700 + n / 5) + 1) for n in range(1000)]  # a stall of 700 ms fills the limit
    judged = Judged()
    judged.checked = 5
    by_whom = {}
    for held in (0, 850):
        rounds = [seen(0, 1, held=held), seen(5, 1, turn=2, held=held)]
        rows = [*late, *((5000 + due, 5000 + sent, 5000 + done) for due, sent, done in late)]
        found = summarize(open_stage(1000.0, 1.0), rounds, records(rows), judged, Slo())
        by_whom[held] = {check.name: check for check in found.checks}
    assert not by_whom[0]["sent on time"].passed and "in flight" not in by_whom[0]
    assert by_whom[850]["sent on time"].passed
    assert by_whom[850]["in flight"].detail.startswith("1,700 requests were held back")


def test_what_was_lost_or_aborted_makes_a_stage_invalid() -> None:
    stage = Stage(name="closed-2", mode="closed", concurrency=2, rate=None, duration_s=1.0, warmup_s=0.0, in_flight=2)
    rows = [(n, n, n + 1) for n in range(0, 1000, 2)]
    for changes, words in (
        ({"lost": ["vm_1"]}, "vm_1 of the load generator were lost"),
        ({"aborted": True}, "nothing"),
    ):
        judged = Judged()
        judged.checked = 5
        found = summarize(stage, [seen(0, 1, **changes)], records(rows), judged, Slo())
        assert not found.valid
        assert words in "; ".join(found.reasons)
    whole = summarize(stage, [seen(0, 1)], records(rows), judged, Slo())
    assert whole.valid, whole.reasons
