"""The open loop's ceiling is found by bisection, and given up where the machine does not let it be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contract.client import Client
from contract.files import read_model
from contract.load import Affinity
from contract.records import Observation, Plan
from loadtest.certification.asking import ask
from loadtest.certification.figures import BUSY
from loadtest.certification.open_ceiling import STEPS, TRIES, Tried, open_ceiling
from loadtest.certification.open_measuring import VARIANT, measure_open_ceiling
from loadtest.certification.store import setting_of
from tests.builders import config
from tests.null_latency import null_latency

CLOSED_RPS = 40_000.0
SECOND_S = 1.0
Measure = Callable[[float], Tried]


def client(capacity_rps: float, server_cpu: float = 0.2) -> Measure:
    """A client that is late from that rate on; until then its processor time grows with the rate."""

    def measure(rate: float) -> Tried:
        due = round(rate * SECOND_S)
        kept = rate <= capacity_rps
        return Tried(
            rate=rate,
            due=due,
            late=0 if kept else due,
            good=due if kept else round(capacity_rps * SECOND_S),
            client_cpu=min(1.0, rate / capacity_rps),
            server_cpu=server_cpu,
        )

    return measure


@pytest.mark.parametrize("capacity_rps", [3000.0, 8000.0, 9999.0, 20_000.0, 36_000.0])
def test_the_ceiling_is_found_within_a_tenth_from_below(capacity_rps: float) -> None:
    found = open_ceiling(CLOSED_RPS, client(capacity_rps))
    assert found is not None
    assert capacity_rps / 1.1 <= found.rps <= capacity_rps
    assert found.of == "client"
    assert found.client_cpu == pytest.approx(found.rps / capacity_rps, abs=1e-4)


def test_the_null_server_is_named_where_it_was_the_busier() -> None:
    found = open_ceiling(CLOSED_RPS, client(8000.0, server_cpu=1.01))
    assert found is not None
    assert (found.of, found.server_cpu) == ("null server", 1.01)


def test_a_client_that_keeps_every_rate_has_at_least_the_highest_that_was_tried() -> None:
    found = open_ceiling(CLOSED_RPS, client(1e9))
    assert found is not None
    assert CLOSED_RPS / 1.1 <= found.rps < CLOSED_RPS
    assert found.of == "machine", "nobody was the limit"


def test_a_client_that_keeps_none_has_no_ceiling() -> None:
    assert open_ceiling(CLOSED_RPS, client(100.0)) is None


def test_what_a_neighbour_spoiled_is_asked_again() -> None:
    asked: list[float] = []

    def disturbed(rate: float) -> Tried:
        asked.append(rate)
        tried = client(8000.0)(rate)
        spoiled = replace(tried, late=tried.due, client_cpu=0.3)
        return spoiled if tried.kept and asked.count(rate) < TRIES else tried

    assert open_ceiling(CLOSED_RPS, disturbed) == open_ceiling(CLOSED_RPS, client(8000.0))
    assert len(set(asked)) == STEPS
    assert {asked.count(rate) for rate in asked} == {1, TRIES}


def test_where_only_the_machine_was_in_the_way_what_was_kept_is_a_lower_bound() -> None:
    asked: list[float] = []

    def hindered(rate: float) -> Tried:
        asked.append(rate)
        tried = client(1e9)(rate)
        return replace(tried, late=tried.due if rate > 10_000 else 0, client_cpu=0.4)

    found = open_ceiling(CLOSED_RPS, hindered)
    assert found is not None
    assert 10_000 / 1.1 <= found.rps <= 10_000
    assert found.of == "machine"
    assert {asked.count(rate) for rate in asked if rate > 10_000} == {TRIES}


def test_where_the_machine_lets_no_rate_be_kept_nothing_is_claimed() -> None:
    def hindered(rate: float) -> Tried:
        return replace(client(1e9)(rate), late=round(rate), client_cpu=0.1)

    assert open_ceiling(CLOSED_RPS, hindered) is None


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"late": 50}, True),
        ({"late": 51}, False),
        ({"good": 950}, True),
        ({"good": 949}, False),
        ({"due": 0, "late": 0, "good": 0}, False),
    ],
)
def test_a_rate_is_kept_when_it_was_sent_on_time_and_answered(changes: dict[str, int], kept: bool) -> None:
    impeccable = Tried(rate=1000.0, due=1000, late=0, good=1000, client_cpu=0.3, server_cpu=0.1)
    assert replace(impeccable, **changes).kept is kept


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_real_load_processes_are_asked_for_rates_below_the_closed_loops(tmp_path: Path, tls: bool) -> None:
    live, answer, folder = tmp_path / "live", tmp_path / "asked.bin", tmp_path / "measured"
    with null_latency(tmp_path, "http") as nulled:
        nulled.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0)
        ask(nulled.endpoint, live, Client(), answer)
    setting = setting_of(nulled.endpoint, live, answer, config(), tls=tls)
    found = measure_open_ceiling(nulled.endpoint, live, folder, answer, setting, Affinity(), 320.0)
    seen = read_model(folder / f"server-stats-{VARIANT}.json", Observation, "certify").stages
    (asked,) = read_model(folder / "plan.json", Plan, "certify").variants
    assert [stage.rate for stage in seen] == [stage.rate for stage in asked.stages]
    assert seen[0].rate == 80.0
    assert asked.endpoint.address != nulled.endpoint.address
    if found is None:  # neighbours kept every rate from being sent on time, three times each
        assert len(seen) == STEPS * TRIES
        assert all(stage.client_cpu < BUSY for stage in seen)
    else:
        assert found.rps in [stage.rate for stage in seen]
        assert found.client_cpu > 0.0
