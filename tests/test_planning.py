"""The plan of a run: which endpoints, through which stages, in which order, with which seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.endpoints import Endpoint
from contract.errors import UsageError
from contract.load import LONGEST_S, REQUESTS, SHORTEST_S, Load
from contract.records import Plan, Seeds
from contract.shapes import BUILT_IN, LoadPlan, Payloads
from contract.slo import Slo
from contract.statistics import least_samples
from loadtest.master.steps import in_order
from loadtest.plan.arrivals import arrivals
from loadtest.plan.planning import Choice, make_plan, payload_folder, seconds, stages
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
    assert [stage.judged for stage in found] == [False, False, True]
    assert [(stage.name, stage.mode, stage.concurrency, stage.rate) for stage in found] == [
        ("closed-1", "closed", 1, None),
        ("closed-8", "closed", 8, None),
        ("open-12.5", "open", None, 12.5),
    ]


def test_durations_warm_up_and_limits_come_from_the_load_section() -> None:
    load = Load(concurrency=[4], duration_s=2, open_duration_s=9, warmup_s=0.25, in_flight=33, rounds=1)
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


def plan_file(*shapes: dict[str, Any], rounds: int | None = None) -> LoadPlan:
    return LoadPlan.model_validate({"stages": list(shapes), "rounds": rounds})


def test_a_load_plan_takes_the_place_of_the_stages_of_the_load_section() -> None:
    plan = plan_file(
        {"shape": "closed", "users": 3, "duration_s": 2},
        {"shape": "steady"},
        {"shape": "steady", "rate": 70, "arrivals": "constant", "warmup_s": 0, "in_flight": 5},
        {"shape": "steady", "of_maximum": 1.5},
        {"shape": "ramp", "rate": 10, "to": 30},
        {"shape": "step", "rates": [10, 20]},
        {"shape": "spike", "rate": 10, "peak": 90, "begin_s": 2, "length_s": 1, "duration_s": 8},
        {"shape": "sine", "rate": 40, "amplitude": 10, "period_s": 4},
        {"shape": "steady"},
    )
    found = stages(Load(open_duration_s=4, rounds=1), endpoint(slo=Slo(rate=50)), Choice("mine", plan))
    assert [(stage.name, stage.rate, stage.judged) for stage in found] == [
        ("closed-3", None, False),
        ("open-50", 50, True),
        ("constant-70", 70, True),
        ("open-150%", None, False),
        ("ramp-10-30", 20, False),
        ("step-10-20", 15, False),
        ("spike-10-90", 20, False),
        ("sine-40-10", 40, False),
        ("open-50-2", 50, True),
    ]
    assert (found[2].warmup_s, found[2].in_flight, found[2].duration_s) == (0, 5, 4)


def test_rounds_share_the_time_of_a_stage_among_them() -> None:
    load = Load(concurrency=[4], duration_s=6, open_duration_s=9, rounds=3)
    assert [stage.duration_s for stage in stages(load, endpoint())] == [2, 3]
    assert plan_of(endpoint(), load=load).rounds == 3


def test_variants_take_turns_where_nobody_said_how_often() -> None:
    plan = plan_of(endpoint(model="a"), endpoint(model="b"))
    assert [(step.round, step.variant) for step in in_order(plan) if step.stage == 0] == [
        *((1, variant) for variant in range(3)),
        *((2, variant) for variant in range(3)),
    ]


@pytest.mark.parametrize(
    ("rate", "seconds"), [(500.0, SHORTEST_S), (100.0, SHORTEST_S), (40.0, 15.0), (10.0, LONGEST_S), (1.0, LONGEST_S)]
)
def test_an_open_stage_whose_length_nobody_stated_lasts_until_it_can_be_valid(rate: float, seconds: float) -> None:
    *_, opened = stages(Load(rounds=2), endpoint(slo=Slo(rate=rate)))
    assert 2 * opened.duration_s == seconds
    stated = LoadPlan.model_validate({"stages": [{"shape": "steady", "rate": rate, "duration_s": 3}], "rounds": 1})
    assert stages(Load(), endpoint(), Choice("mine", stated))[0].duration_s == 3


@pytest.mark.parametrize("seed", range(20))
def test_of_the_requests_of_such_a_stage_enough_are_due_for_a_p99(seed: int) -> None:
    *_, opened = stages(Load(), endpoint(slo=Slo(rate=100.0)))
    assert opened.shape is not None and opened.shape.shape == "steady"
    rounds = [arrivals(opened.shape, opened.duration_s, opened.warmup_s, seed + turn) for turn in range(2)]
    assert sum(due >= 0 for turn in rounds for due in turn) >= least_samples(0.99)
    assert least_samples(0.99) < REQUESTS - 5 * REQUESTS**0.5  # five standard deviations of a Poisson count


def test_a_multiple_of_the_most_needs_a_stage_that_finds_the_most() -> None:
    plan = plan_file({"shape": "steady", "of_maximum": 2}, {"shape": "closed", "users": 1})
    with pytest.raises(UsageError, match="load plan 'mine', stage 0: of_maximum needs a closed stage before it"):
        stages(Load(), endpoint(), Choice("mine", plan))


def test_a_trace_decides_how_long_its_stage_is_and_is_replayed_whole_in_every_round(tmp_path: Path) -> None:
    (tmp_path / "monday.csv").write_text("0\n1\n4\n")
    shape = {"shape": "trace", "file": tmp_path / "monday.csv", "speed": 2}
    (found,) = stages(Load(), endpoint(), Choice("mine", plan_file(shape)))
    assert (found.name, found.warmup_s) == ("trace-monday", 0)
    assert found.duration_s == pytest.approx(2.001)
    assert found.rate == pytest.approx(3 / 2.001)
    assert stages(Load(), endpoint(), Choice("mine", plan_file(shape, rounds=2))) == [found]


def test_soak_and_overload_are_plans_of_every_models_toml_and_are_gone_through_once() -> None:
    for name in ("soak", "overload"):
        choice = Choice(name, BUILT_IN[name])
        made = make_plan("x", "x", Load(rounds=3), endpoints(endpoint()), [endpoint()], MACHINE, {}, choice)
        assert (made.load_plan, made.rounds, made.attempts, len(made.variants)) == (name, 1, 1, 1)


def test_the_map_is_a_grid_of_batch_sizes_and_users_with_the_noise_beside_it() -> None:
    plan = make_plan("x", "x", Load(), endpoints(endpoint()), [endpoint()], MACHINE, {}, Choice("map", BUILT_IN["map"]))
    variant, again = plan.variants
    closed = {(stage.payloads, stage.concurrency) for stage in variant.stages if stage.mode == "closed"}
    assert closed == {(f"rows-{rows}", users) for rows in (1, 8, 32) for users in (1, 4, 16, 64)}
    assert again.stages == variant.stages, "its cells are compared, so they are measured twice"


def test_closed_stages_that_are_no_cells_are_measured_once() -> None:
    mixed = {"shape": "closed", "users": 4, "payloads": {"rows": [1, 8]}}
    longer = {"shape": "closed", "users": 4, "payloads": {"rows": [8], "length": [5, 60]}}
    cell = {"shape": "closed", "users": 4, "payloads": {"rows": [8]}}
    choice = Choice("mine", plan_file({"shape": "closed", "users": 4}, mixed, longer, cell, {"shape": "steady"}))
    *_, again = make_plan("x", "x", Load(), endpoints(endpoint()), [endpoint()], MACHINE, {}, choice).variants
    assert [(stage.mode, stage.payloads) for stage in again.stages] == [("closed", "rows-8"), ("open", "")]


def test_what_a_stage_sends_names_its_folder() -> None:
    payloads = Payloads(file=Path("data/mine.npz"), rows=[1, 8], length=(5, 60))
    assert payload_folder(payloads) == "mine_rows-1-8_length-5-60"
    assert payload_folder(Payloads()) == ""


def test_two_files_of_one_name_are_not_taken_for_each_other() -> None:
    shapes = [{"shape": "steady", "payloads": {"file": f"{folder}/mine.npz"}} for folder in ("a", "b")]
    with pytest.raises(UsageError, match=r"a/mine\.npz and of b/mine\.npz have one name"):
        stages(Load(), endpoint(), Choice("mine", plan_file(*shapes)))
    assert stages(Load(), endpoint(), Choice("mine", plan_file(shapes[0], shapes[0])))


def test_the_seeds_of_a_run_are_derived_from_one_as_they_always_were() -> None:
    assert plan_of(endpoint(), load=Load(seed=5)).seeds == Seeds(schedule=5, payload=1_000_005, sampling=2_000_005)


@pytest.mark.parametrize("name", ["schedule", "payload", "sampling"])
def test_each_seed_can_be_stated_by_itself_and_leaves_the_others_alone(name: str) -> None:
    derived = plan_of(endpoint(), load=Load(seed=5)).seeds
    stated = plan_of(endpoint(), load=Load.model_validate({"seed": 5, "seeds": {name: 0}})).seeds
    assert stated == derived.model_copy(update={name: 0})


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


def test_what_is_not_served_of_a_model_that_was_left_out_is_not_missed() -> None:
    words, images = endpoint(), endpoint(model="images")
    unserved = {"words torchscript": "failed: why", "images savedmodel": "unsupported", "gone onnx": "failed: NaN"}
    up = endpoints(words, images, unserved=unserved)

    def missed(*chosen: Endpoint) -> set[str]:
        return set(make_plan("x", "x", Load(), up, list(chosen), MACHINE, {}).unserved)

    assert missed(words, images) == unserved.keys()
    assert missed(words) == {"words torchscript", "gone onnx"}  # of what is nowhere up nobody could leave out anything


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
    plan = plan_of(endpoint(), load=Load(concurrency=[1, 4], duration_s=2, open_duration_s=5, rounds=1))
    assert 9 < seconds(plan.variants[0]) < 20
    assert seconds(plan.variants[1]) < seconds(plan.variants[0])
