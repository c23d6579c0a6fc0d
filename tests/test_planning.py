"""The plan of a run: which endpoints, through which stages, in which order, with which seeds."""

from __future__ import annotations

from typing import Any

import pytest

from contract.config import Load, Slo
from contract.endpoints import Endpoint
from contract.records import Plan
from loadtest.planning import is_loopback, make_plan, seconds, stages
from tests.builders import MACHINE, endpoint, endpoints, server


def plan_of(*chosen: Endpoint, load: Load | None = None, **changes: Any) -> Plan:
    return make_plan(
        "20260131-120000",
        "2026-01-31T12:00:00+00:00",
        load or Load(),
        endpoints(*chosen, **changes),
        list(chosen),
        MACHINE,
        {"locust": "2.47.0"},
    )


def test_closed_stages_come_first_and_then_one_open_stage_at_the_rate_of_the_slo() -> None:
    found = stages(Load(concurrency=[1, 8]), endpoint(slo=Slo(rate=12.5)))
    assert [(stage.name, stage.mode, stage.concurrency, stage.rate) for stage in found] == [
        ("closed-1", "closed", 1, None),
        ("closed-8", "closed", 8, None),
        ("open-12.5", "open", None, 12.5),
    ]


def test_durations_warm_up_and_limits_come_from_the_load_section() -> None:
    load = Load(concurrency=[4], duration_s=2, open_duration_s=9, warmup_s=0.25, in_flight=33)
    closed, opened = stages(load, endpoint())
    assert (closed.duration_s, closed.warmup_s, closed.in_flight) == (2, 0.25, 4)
    assert (opened.duration_s, opened.warmup_s, opened.in_flight) == (9, 0.25, 33)


def test_each_model_is_loaded_at_its_own_rate() -> None:
    plan = plan_of(endpoint(model="a", slo=Slo(rate=10)), endpoint(model="b", slo=Slo(rate=70)))
    assert [item.stages[-1].rate for item in plan.variants] == [10, 70, 10]


def test_the_first_real_endpoint_is_measured_again_at_the_end_in_the_open_loop_only() -> None:
    embedded = endpoint(engine="tfserving", engine_kind="embedded", format="savedmodel", protocol="rest")
    first, second = endpoint(protocol="http"), endpoint(protocol="grpc")
    plan = plan_of(embedded, first, second)
    assert [item.id for item in plan.variants] == [embedded.id, first.id, second.id, f"{first.id}__again"]
    again = plan.variants[-1]
    assert again.repeat_of == first.id
    assert again.endpoint == first
    assert [stage.mode for stage in again.stages] == ["open"]
    assert [item.repeat_of for item in plan.variants[:-1]] == [None] * 3


def test_without_a_real_endpoint_nothing_is_repeated() -> None:
    plan = plan_of(endpoint(engine="tfserving", engine_kind="embedded"))
    assert [item.repeat_of for item in plan.variants] == [None]


def test_schedule_payload_and_sampling_have_seeds_of_their_own() -> None:
    seeds = plan_of(endpoint(), load=Load(seed=5)).seeds
    assert len({seeds.schedule, seeds.payload, seeds.sampling}) == 3
    assert seeds.schedule == 5
    assert plan_of(endpoint(), load=Load(seed=5)).seeds == seeds


def test_the_same_input_gives_the_same_plan() -> None:
    assert plan_of(endpoint()) == plan_of(endpoint())


def test_the_plan_carries_what_a_reader_needs_to_judge_it_alone() -> None:
    record = server(engine_version="2.51.0")
    plan = plan_of(
        endpoint(artifact_sha256="b" * 64),
        servers=[record],
        resident=["a", "b"],
        unserved={"words torchscript": "failed: why"},
        target="25.10",
    )
    assert plan.variants[0].endpoint.artifact_sha256 == "b" * 64
    assert plan.servers == [record]
    assert (plan.resident, plan.target) == (["a", "b"], "25.10")
    assert plan.unserved == {"words torchscript": "failed: why"}
    assert plan.versions == {"locust": "2.47.0"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:8000", True),
        ("127.0.0.53:1", True),
        ("localhost:8000", True),
        ("[::1]:8000", True),
        ("10.0.0.1:8000", False),
        ("triton.svc:8000", False),
        ("[2001:db8::1]:8000", False),
        ("127.example.org:8000", False),
    ],
)
def test_loopback_is_told_from_other_machines(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [(["127.0.0.1:1", "127.0.0.1:2"], True), (["127.0.0.1:1", "10.1.1.1:2"], False), (["10.1.1.1:2"], False)],
)
def test_client_and_server_share_a_machine_only_if_every_endpoint_is_on_loopback(
    addresses: list[str], expected: bool
) -> None:
    chosen = [endpoint(model=f"m{number}", address=address) for number, address in enumerate(addresses)]
    assert plan_of(*chosen).same_machine is expected


def test_the_expected_time_covers_every_window() -> None:
    plan = plan_of(endpoint(), load=Load(concurrency=[1, 4], duration_s=2, open_duration_s=5))
    assert 9 < seconds(plan.variants[0]) < 20
    assert seconds(plan.variants[1]) < seconds(plan.variants[0])
