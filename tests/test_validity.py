"""VALID or INVALID: each constraint fails by its own name, with its figure and with what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.certificate import OpenCeiling
from contract.slo import Slo
from contract.verdict import Check
from report.figures.certificate import ELSEWHERE
from report.figures.stage_facts import StageFacts
from report.figures.validity import MORE_PROCESSES, check, client_bound, client_bound_note

SPIKE_S = np.concatenate([np.linspace(0.0, 4.0, 500), 4.5 + np.linspace(0.0, 0.9, 1000), np.linspace(6.0, 10.0, 500)])
ASKED_OF_ALL = ["duration", "samples for p99", "error rate", "answers"]


def facts(mode: str = "open", **changes: Any) -> StageFacts:
    """Ten seconds of an impeccable stage: 2,000 requests, answered after 5 ms."""
    count = int(changes.pop("count", 2000))
    fields: dict[str, Any] = {
        "mode": mode,
        "duration_s": 10.0,
        "planned_s": 10.0,
        "one_rate": True,
        "in_flight": 64,
        "requests": count,
        "failed": 0,
        "due_s": np.linspace(0.0, 10.0, count, endpoint=False),
        "sent_late_ms": np.full(count, 0.1),
        "good_done_s": np.linspace(0.0, 10.0, count, endpoint=False) + 0.005,
        "answered_rps": 200.0,
        "client_cpu": 0.3,
        "answers_checked": 64,
        "wrong_answers": 0,
        "wrong_reason": None,
    }
    return StageFacts(**(fields | changes))


def failing(stage: StageFacts, slo: Slo | None = None) -> list[str]:
    """Names of the constraints that fail; each comes with a recommendation."""
    found = check(stage, slo or Slo())
    for item in found:
        assert item.passed or item.recommendation, item
        assert item.detail
    return [item.name for item in found if not item.passed]


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_an_impeccable_stage_is_valid(mode: str) -> None:
    assert failing(facts(mode)) == []
    assert not any(item.recommendation for item in check(facts(mode), Slo()))


@pytest.mark.parametrize(
    ("mode", "changes", "names"),
    [
        ("open", {}, [*ASKED_OF_ALL, "sent on time", "kept up", "generator CPU", "steady"]),
        (
            "open",
            {"ceiling_rps": 1000.0},
            [*ASKED_OF_ALL, "sent on time", "kept up", "client has time", "generator CPU", "steady"],
        ),
        ("closed", {}, [*ASKED_OF_ALL, "steady", "generator"]),
        ("closed", {"ceiling_rps": 1000.0}, [*ASKED_OF_ALL, "steady", "generator"]),
    ],
)
def test_each_mode_has_its_constraints(mode: str, changes: dict[str, Any], names: list[str]) -> None:
    assert [item.name for item in check(facts(mode, **changes), Slo())] == names


@pytest.mark.parametrize(
    ("mode", "changes", "name"),
    [
        ("open", {"planned_s": 10.2}, "duration"),
        ("closed", {"planned_s": 10.2}, "duration"),
        ("open", {"interrupted": True}, "duration"),
        ("open", {"interrupted": True, "sought": True, "planned_s": 60.0}, "duration"),
        ("open", {"lost": ["vm_1"]}, "whole"),
        ("closed", {"lost": ["4 users"]}, "whole"),
        ("open", {"aborted": True}, "whole"),
        ("closed", {"aborted": True}, "whole"),
        ("open", {"count": 458}, "samples for p99"),
        ("closed", {"count": 458}, "samples for p99"),
        ("open", {"answers_checked": 0}, "answers"),
        ("closed", {"wrong_answers": 1}, "answers"),
        ("closed", {"failed": 101}, "error rate"),
        ("open", {"sent_late_ms": np.where(np.arange(2000) < 101, 3.0, 0.0)}, "sent on time"),
        ("open", {"sent_late_ms": np.where(np.arange(2000) < 401, 3.0, 0.0), "held": 300}, "sent on time"),
        ("open", {"good_done_s": np.where(np.arange(2000) < 101, 10.3, 5.0)}, "kept up"),
        ("open", {"client_cpu": 0.81}, "generator CPU"),
        ("open", {"client_cpu": 0.81, "ceiling_rps": 1000.0}, "generator CPU"),  # a fifth of what it once could do
        ("open", {"ceiling_rps": 285.0}, "client has time"),  # 200 requests/s are 70.2 % of it
        ("open", {"ceiling_rps": 1400.0, "one_rate": False, "due_s": SPIKE_S}, "client has time"),  # 71.4 % in a second
        ("closed", {"good_done_s": np.linspace(0.0, 7.0, 2000)}, "steady"),
    ],
)
def test_each_constraint_fails_by_its_own_name_and_alone(mode: str, changes: dict[str, Any], name: str) -> None:
    assert failing(facts(mode, **changes)) == [name]


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        ("open", {"planned_s": 10.1}),
        ("open", {"planned_s": 60.0, "sought": True}),  # a search ends what is hopeless or clear
        ("open", {"count": 459}),
        ("closed", {"failed": 100}),
        ("open", {"sent_late_ms": np.where(np.arange(2000) < 100, 3.0, 0.0)}),
        ("open", {"sent_late_ms": np.full(2000, 2.5)}),  # a twentieth of the objective of 50 ms
        ("open", {"sent_late_ms": np.where(np.arange(2000) < 400, 3.0, 0.0), "held": 300}),
        ("open", {"sent_late_ms": np.full(2000, 3.0), "held": 2000}),  # all of it is the server's doing
        ("open", {"good_done_s": np.where(np.arange(2000) < 100, 10.3, 5.0)}),
        ("open", {"good_done_s": np.full(2000, 10.25)}),  # an answer may be a moment away when the window ends
        ("open", {"client_cpu": 0.8}),
        ("open", {"ceiling_rps": 286.0}),
        ("open", {"ceiling_rps": 1431.0, "one_rate": False, "due_s": SPIKE_S}),
        ("open", {"ceiling_rps": 286.0, "due_s": SPIKE_S}),  # of one rate the mean: what is above it is chance
        ("open", {"good_done_s": np.linspace(0.0, 7.0, 2000)}),  # its latencies have the stall
        ("open", {"ceiling_rps": 1000.0, "client_cpu": 0.8}),
        ("closed", {"ceiling_rps": 10.0}),  # a note, not a constraint
        ("closed", {"client_cpu": 1.0}),  # a note, not a constraint: a closed loop waits for its client
    ],
)
def test_the_limit_itself_is_allowed(mode: str, changes: dict[str, Any]) -> None:
    assert failing(facts(mode, **changes)) == []


@pytest.mark.parametrize(
    ("p99_ms", "late_ms", "valid"), [(50, 2.4, True), (50, 2.6, False), (4, 0.9, True), (4, 1.1, False)]
)
def test_lateness_is_measured_against_the_objective_and_never_below_a_millisecond(
    p99_ms: float, late_ms: float, valid: bool
) -> None:
    found = failing(facts(sent_late_ms=np.full(2000, late_ms)), Slo(p99_ms=p99_ms))
    assert found == ([] if valid else ["sent on time"])


def test_a_late_failure_is_counted_once_and_not_twice() -> None:
    # 3 % failed after the window's end; the other 97 % were answered in time, which is enough.
    assert failing(facts(failed=60, good_done_s=np.full(1940, 5.0))) == []


def test_a_stage_without_requests_fails_everything_that_looks_at_requests() -> None:
    nothing: dict[str, Any] = {"count": 0, "answers_checked": 0}
    assert failing(facts(**nothing)) == ["samples for p99", "error rate", "answers", "sent on time", "kept up"]
    assert failing(facts(one_rate=False, ceiling_rps=10.0, **nothing))[:1] == ["samples for p99"]
    assert failing(facts("closed", **nothing)) == ["samples for p99", "error rate", "answers", "steady"]


def test_the_wrong_answer_itself_is_named() -> None:
    (item,) = [
        item
        for item in check(facts(wrong_answers=2, wrong_reason="r0003: NaN in 1 elements of 'logits'"), Slo())
        if item.name == "answers"
    ]
    assert item.detail.startswith("2 of 64 sampled answers differ from the trained model's")
    assert "r0003: NaN" in item.detail


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"count": 100}, "100 requests, at least 459 needed"),
        ({"failed": 300}, "15.00% of the requests failed, at most 5% allowed"),
        ({"client_cpu": 0.93}, "93% of a core, at most 80% allowed"),
        ({"sent_late_ms": np.full(2000, 9.0)}, "100.00% of the requests left over 2.5 ms late"),
    ],
)
def test_the_detail_gives_the_figure_and_the_limit(changes: dict[str, Any], figure: str) -> None:
    assert any(figure in item.detail for item in check(facts(**changes), Slo()))


def line(name: str, mode: str = "open", **changes: Any) -> Check:
    (found,) = [item for item in check(facts(mode, **changes), Slo()) if item.name == name]
    return found


def client_check(**changes: Any) -> Check:
    return line("client has time", **changes)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({}, "10 s of 10 s planned"),
        ({"planned_s": 60.0}, "10 s of 60 s planned"),
        ({"planned_s": 60.0, "interrupted": True}, "10 s of 60 s planned: it was interrupted"),
        ({"planned_s": 60.0, "sought": True}, "10 s of 60 s planned: the search had seen enough"),
        ({"sought": True}, "10 s of 10 s planned"),
    ],
)
def test_the_duration_is_told_beside_the_planned_one(changes: dict[str, Any], detail: str) -> None:
    assert line("duration", **changes).detail == detail


def test_who_was_lost_and_what_was_aborted_is_told() -> None:
    lost = line("whole", lost=["vm_1", "4 users"])
    assert lost.detail == "vm_1, 4 users of the load generator were lost, so less was sent than planned"
    aborted = line("whole", aborted=True)
    assert aborted.detail == "so many of the last requests failed that nothing more was sent"


def test_what_the_limit_held_back_is_told_and_does_not_make_a_stage_invalid() -> None:
    stage = facts(sent_late_ms=np.where(np.arange(2000) < 1334, 150.0, 0.0), held=1314)
    assert failing(stage) == []
    found = {item.name: item for item in check(stage, Slo())}
    assert found["in flight"].detail == (
        "1,314 requests were held back by over 2.5 ms by the limit of 64 in flight; "
        "their latencies count from the intended send"
    )
    assert found["in flight"].recommendation == "the server did not keep up, or raise in_flight in models.toml"
    assert found["sent on time"].detail == (
        "1.00% of the requests left over 2.5 ms late, without those that were held back, at most 5% allowed"
    )
    assert line("in flight", held=1).detail.startswith("1 request was held back by over 2.5 ms")


def test_an_open_loop_whose_rate_changes_has_no_line_of_steadiness_and_of_one_rate_it_only_tells() -> None:
    assert "steady" not in [item.name for item in check(facts(one_rate=False), Slo())]
    stalled = line("steady", good_done_s=np.linspace(0.0, 7.0, 2000))
    assert stalled.passed and stalled.detail == "the throughput of the window's thirds differs by 128%"
    assert stalled.recommendation is not None and "the latencies count it" in stalled.recommendation


def test_a_closed_loop_tells_what_its_generator_used_and_is_valid_where_it_was_the_bottleneck() -> None:
    assert (
        line("generator", "closed").detail == "the busiest load process used 30% of a core: it was not the bottleneck"
    )
    bound = line("generator", "closed", ceiling_rps=250.0)
    assert bound.passed and bound.recommendation == MORE_PROCESSES
    assert bound.detail == (
        "the busiest load process used 30% of a core; 200 answers/s are 80% of the load generator's certified ceiling "
        "of 250/s: client-bound, the throughput is a lower bound"
    )
    assert "client-bound" in line("generator", "closed", client_cpu=0.81).detail


def test_of_a_rate_that_changes_the_busiest_second_is_told() -> None:
    assert client_check(ceiling_rps=2000.0, one_rate=False, due_s=SPIKE_S).detail == (
        "1,000 requests/s at the most are 50% of the load generator's certified ceiling of 2,000/s of a closed loop, "
        "whose requests cost it less, at most 70% allowed"
    )


def test_without_a_certificate_the_check_says_how_to_get_one() -> None:
    assert line("generator CPU").detail == (
        "the busiest load process used 30% of a core, at most 80% allowed; "
        "not certified: run 'python -m loadtest certify'"
    )


OPENED = OpenCeiling(rps=280.0, of="null server", client_cpu=0.85, server_cpu=0.9)


def test_an_open_loop_is_held_against_the_open_loops_ceiling_where_it_is_known() -> None:
    found = client_check(ceiling_rps=1000.0, open_ceiling=OPENED)
    assert not found.passed
    assert found.detail == (
        "200 requests/s are 71% of the load generator's certified ceiling of 280/s of an open loop, "
        "at most 70% allowed (the ceiling is the null server's: the client's is higher)"
    )
    assert client_check(ceiling_rps=1000.0, open_ceiling=OPENED.model_copy(update={"rps": 286.0})).passed


def test_a_closed_loop_is_held_against_the_closed_loops_ceiling() -> None:
    found = line("generator", "closed", ceiling_rps=1000.0, open_ceiling=OPENED)
    assert "200 answers/s are 20% of the load generator's certified ceiling of 1,000/s: it was not" in found.detail


def test_with_a_certificate_the_processor_has_its_line_all_the_same() -> None:
    assert line("generator CPU", ceiling_rps=1000.0).detail == (
        "the busiest load process used 30% of a core, at most 80% allowed"
    )


def test_where_the_load_came_from_other_machines_the_check_does_not_ask_for_a_certificate() -> None:
    assert line("generator CPU", uncertified=ELSEWHERE).detail.endswith(
        "not certified: these load processes are on other machines, of which this one's ceiling says nothing"
    )


def test_with_a_certificate_the_check_gives_rate_share_and_ceiling() -> None:
    found = client_check(ceiling_rps=250.0)
    assert found.detail == (
        "200 requests/s are 80% of the load generator's certified ceiling of 250/s of a closed loop, "
        "whose requests cost it less, at most 70% allowed"
    )


@pytest.mark.parametrize("changes", [{"ceiling_rps": 250.0}, {"client_cpu": 0.9}])
def test_whose_client_was_the_bottleneck_is_told_to_take_more_processes_and_cores(changes: dict[str, Any]) -> None:
    (failed,) = [item for item in check(facts(**changes), Slo()) if not item.passed]
    assert failed.recommendation == (
        "the client was the bottleneck: give it more load processes (--processes, or processes in models.toml), each "
        "with a core that no server needs, here or on another machine; or lower the rate or the number of users"
    )


@pytest.mark.parametrize(
    ("whose", "words"),
    [
        ("null server", "(the ceiling is the null server's: the client's is higher)"),
        ("machine", "(the ceiling is what other work on the machine left: certify again when it is quiet)"),
    ],
)
def test_a_ceiling_that_is_not_the_clients_own_says_so(whose: str, words: str) -> None:
    found = client_check(ceiling_rps=250.0, ceiling_of=whose)
    assert not found.passed
    assert found.detail.endswith(words)


@pytest.mark.parametrize(
    ("throughput", "cpu", "ceiling", "bound"),
    [
        (100.0, 0.8, None, False),
        (100.0, 0.81, None, True),
        (700.0, 1.0, 1000.0, False),
        (701.0, 0.1, 1000.0, True),
    ],
)
def test_a_throughput_is_client_bound_by_the_ceiling_or_without_one_by_the_processor(
    throughput: float, cpu: float, ceiling: float | None, bound: bool
) -> None:
    assert client_bound(throughput, cpu, ceiling) is bound


def test_the_note_of_a_client_bound_throughput_says_why_and_what_follows() -> None:
    assert client_bound_note(900.0, 0.9, 1000.0) == (
        "client-bound: it is 90% of the load generator's certified ceiling of 1,000/s, "
        "so the throughput is a lower bound and is not ranked"
    )
    assert client_bound_note(900.0, 0.93, None) == (
        "client-bound: the busiest load process used 93% of a core, so the throughput is a lower bound and is not "
        "ranked"
    )


@pytest.mark.parametrize(("mode", "key"), [("open", "open_duration_s"), ("closed", "duration_s")])
def test_too_few_requests_name_the_key_that_lengthens_their_stage(mode: str, key: str) -> None:
    (found,) = (item for item in check(facts(mode, count=458), Slo()) if not item.passed)
    assert found.recommendation is not None and found.recommendation.startswith(f"raise {key} under [load],")
