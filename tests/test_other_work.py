"""A machine that is busy with other work is told from a client that is: by what each of them used in the stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.search import Found, Limit, Outcome, Probe
from contract.slo import Slo
from contract.verdict import Check, MaxRate, StageResult
from report import words
from report.beside import comparison
from report.figures.kept_waiting import kept_waiting
from report.figures.other_work import QUIET, OtherWork, other_work
from report.figures.schedule import BUSY_CLIENT, KEPT_WAITING, on_time
from report.figures.server_side import server_side
from report.figures.validity import UNSTEADY, check
from report.judging.advice import BEYOND
from report.judging.objectives import ENDED, judge_found
from report.page import rates
from tests.report_samples import stage
from tests.report_search_samples import search_report
from tests.test_server_side import rows, samples, window
from tests.test_validity import facts, line

BUSY = OtherWork(taken=1.6, cores=2)
CALM = OtherWork(taken=0.3, cores=2)
LATE = np.where(np.arange(2000) < 164, 3.0, 0.0)


def late(**changes: Any) -> Check:
    return on_time(facts(sent_late_ms=LATE, **changes), Slo())


@pytest.mark.parametrize(
    ("client_cpu", "other", "why", "next_step"),
    [
        (0.04, BUSY, "; other work took 1.6 of 2 cores, the busiest load process 4% of one", QUIET),
        (0.04, CALM, "; the busiest load process used 4% of a core", KEPT_WAITING),
        (0.04, None, "; the busiest load process used 4% of a core", KEPT_WAITING),
        (0.70, BUSY, "; the busiest load process used 70% of a core", BUSY_CLIENT),
        (0.70, None, "; the busiest load process used 70% of a core", BUSY_CLIENT),
    ],
)
def test_late_sends_are_the_fault_of_who_was_busy(
    client_cpu: float, other: OtherWork | None, why: str, next_step: str
) -> None:
    found = late(client_cpu=client_cpu, other=other)
    assert found.detail == f"8.20% of the requests left over 2.5 ms late, at most 5% allowed{why}"
    assert found.recommendation == next_step


def test_of_sends_in_time_nothing_is_said_of_the_machine() -> None:
    found = on_time(facts(other=BUSY), Slo())
    assert found.passed and found.detail.endswith("allowed") and found.recommendation is None


def test_an_unsteady_closed_loop_on_a_busy_machine_names_it_too() -> None:
    stalled = np.linspace(0.0, 7.0, 2000)
    busy = line("steady", "closed", good_done_s=stalled, other=BUSY)
    assert busy.detail.endswith("at most 30% allowed; other work took 1.6 of 2 cores") and busy.recommendation == QUIET
    calm = line("steady", "closed", good_done_s=stalled, other=CALM)
    assert calm.detail.endswith("at most 30% allowed") and calm.recommendation == UNSTEADY["closed"]


def test_a_stall_of_an_open_loop_stays_the_servers_whatever_the_machine_did() -> None:
    """It is told and no constraint; to call it the machine's would excuse a server that stalls."""
    (steady,) = [
        item
        for item in check(facts(good_done_s=np.linspace(0.0, 7.0, 2000), other=BUSY), Slo())
        if item.name == "steady"
    ]
    assert steady.recommendation == UNSTEADY["open"] and "other work" not in steady.detail


def test_other_work_is_what_neither_server_nor_load_used() -> None:
    found = server_side(
        samples(
            rows("triton", cpu_s=lambda t: 0.1 * t),
            rows("load", cpu_s=lambda t: 0.05 * t),
            rows("machine", cpu_s=lambda t: 1.9 * t, core_s=lambda t: [1.0 * t, 0.9 * t]),
        ),
        [window()],
    )
    assert other_work(found) == OtherWork(taken=1.75, cores=2)


@pytest.mark.parametrize("missing", ["triton", "load", "machine"])
def test_where_one_of_them_was_not_sampled_nothing_is_known_of_other_work(missing: str) -> None:
    groups = {
        "triton": rows("triton", cpu_s=lambda t: 0.1 * t),
        "load": rows("load", cpu_s=lambda t: 0.05 * t),
        "machine": rows("machine", cpu_s=lambda t: 1.9 * t, core_s=lambda t: [1.0 * t, 0.9 * t]),
    }
    found = server_side(samples(*(group for name, group in groups.items() if name != missing)), [window()])
    assert found.other_cpu is None and other_work(found) is None


def found(limited_by: Limit = "load generator", *outcomes: Outcome) -> Found:
    """A search of one step per outcome, stage by stage."""
    steps = [
        Probe(stage=number, purpose="probe", rate=50.0, outcome=outcome, reason="late", seconds=2.0)
        for number, outcome in enumerate(outcomes or ("kept", "unclear", "unclear"))
    ]
    return Found(
        variant="v",
        knee_rps=4722.0,
        probes=steps,
        confirmed=None,
        value=None,
        high=None,
        limited_by=limited_by,
        seconds=6.0,
    )


def tried(client_cpu: float, failed: str = "sent on time") -> StageResult:
    """A step of a search that one check spoiled."""
    check = Check(name=failed, passed=False, detail="", recommendation=None)
    return stage("open-50", 3.0, client_cpu=client_cpu, valid=False, checks=[check])


def test_a_search_whose_load_processes_had_time_and_were_late_was_ended_by_the_machine() -> None:
    stages = {0: tried(0.9), 1: tried(0.04), 2: tried(0.05)}  # the first was kept, and ended nothing
    assert kept_waiting(found(), stages)
    rate = judge_found(found(), None, Slo(), None, kept_waiting(found(), stages))
    assert (rate.max_rps.limited_by, rate.max_rps.kept_waiting, rate.passed) == ("load generator", True, None)
    assert "other work on the machine was the limit, neither the server nor the load generator" in rate.reasons[-1]


@pytest.mark.parametrize(
    ("searched", "stages"),
    [
        (found(), {1: tried(0.04), 2: tried(0.7)}),
        (found(), {1: tried(0.04), 2: tried(0.04, "whole")}),
        (found(), {}),
        (found("server"), {1: tried(0.04), 2: tried(0.04)}),
        (found("load generator", "kept"), {0: tried(0.04)}),  # its ceiling ended it: no step was late
    ],
)
def test_of_any_other_search_the_load_generator_stays_the_limit(
    searched: Found, stages: dict[int, StageResult]
) -> None:
    assert not kept_waiting(searched, stages)
    assert "other work" not in judge_found(searched, None, Slo()).reasons[-1]


def test_the_machine_is_named_wherever_the_limit_of_a_search_is() -> None:
    waiting = MaxRate(value=None, low=None, high=None, limited_by="load generator", kept_waiting=True)
    itself = waiting.model_copy(update={"kept_waiting": False})
    assert (words.ended_by(waiting), words.ended_by(itself)) == ("machine", "load generator")
    assert {"machine", "load generator"} <= set(words.LIMITS) & set(BEYOND) & set(ENDED)
    report = search_report()
    slow = report.variants[0].model_copy(update={"slo": report.variants[0].slo.model_copy(update={"max_rps": waiting})})
    told = report.model_copy(update={"variants": [slow]})
    assert rates.lines(told, slow.model)[0].limited_by == "other work on the machine"
    assert "limited by other work on the machine" in comparison.row(told, slow)["max_rate"].note


def test_no_side_is_no_knowledge() -> None:
    assert other_work(None) is None
