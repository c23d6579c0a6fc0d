"""Replicas without servers: their command lines, cores and memory, and what is concluded from what was counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract.endpoints import Endpoint
from contract.errors import ServerError, UsageError
from contract.files import write_json
from contract.load import Affinity
from contract.records import Stage
from contract.scaling import Point
from contract.workspace import Workspace
from loadtest.master.asking import Measured
from serving.places.launch import Launch
from serving.replication.allotment import allot
from serving.replication.apart import start_apart
from serving.replication.launches import replica_launch
from tests.builders import endpoint, endpoints, server, workspace
from tests.deployments import recommendation, recommended
from tests.known_capacity import ENDPOINT, Machine
from tests.test_tune_scaling import points
from tune.configuration.gauging import Setting
from tune.scale.chosen import chosen
from tune.scale.command import curve, main, numbers_of
from tune.scale.consumption import Consumption, Used
from tune.scale.counting import Counting
from tune.scale.record import bottleneck, cost_of_proxy, scaling, told
from tune.scale.replicas import memory_refusal
from tune.scale.unit import Reading, Usage, usage

TRITON = Launch(
    engine="triton",
    engine_kind="real",
    command=[
        "/opt/tritonserver",
        "--model-repository=/w/model_repository/triton",
        "--backend-config=python,stub-timeout-seconds=120",
        "--backend-config=python,shm-region-prefix-name=loadproof_7_8000_",
        "--http-address=127.0.0.1",
        "--http-port=8000",
        "--grpc-address=127.0.0.1",
        "--grpc-port=8001",
        "--metrics-port=8002",
    ],
    image=None,
    environment={"PATH": "/bin"},
    ports={"http": 8000, "grpc": 8001, "metrics": 8002},
    ready="/v2/health/ready",
    ready_port="http",
    log=Path("/w/live/logs/triton.log"),
    shm_prefix="loadproof_7_8000_",
    cores=[0, 1, 2, 3],
)
TFSERVING = TRITON.model_copy(
    update={
        "engine": "tfserving",
        "command": ["server", "--port=8500", "--rest_api_port=8501", "--model_config_file=/w/models.config"],
        "ports": {"grpc": 8500, "rest": 8501},
        "log": Path("/w/live/logs/tfserving.log"),
        "shm_prefix": None,
    }
)


def test_a_replica_of_triton_differs_in_ports_cores_log_and_shared_memory_and_in_nothing_else() -> None:
    found = replica_launch(TRITON, 2, {"http": 41, "grpc": 42, "metrics": 43}, [5, 6])
    changed = dict(zip(TRITON.command, found.command, strict=True))
    prefix = f"loadproof_{os.getpid()}_41_"
    assert {old: new for old, new in changed.items() if old != new} == {
        "--http-port=8000": "--http-port=41",
        "--grpc-port=8001": "--grpc-port=42",
        "--metrics-port=8002": "--metrics-port=43",
        "--backend-config=python,shm-region-prefix-name=loadproof_7_8000_": (
            f"--backend-config=python,shm-region-prefix-name={prefix}"
        ),
    }
    assert (found.shm_prefix, found.cores, found.ports["grpc"]) == (prefix, [5, 6], 42)
    assert found.log == Path("/w/live/logs/triton-replica-2.log")
    assert not prefix.startswith("loadproof_7_8000_")  # a stop removes by prefix


def test_a_replica_of_tensorflow_serving_is_told_of_the_one_model() -> None:
    found = replica_launch(TFSERVING, 1, {"grpc": 51, "rest": 52}, [], Path("/w/live/replicas.config"))
    expected = ["server", "--port=51", "--rest_api_port=52", "--model_config_file=/w/live/replicas.config"]
    assert found.command == expected and found.shm_prefix is None


@pytest.mark.parametrize(
    ("servers", "load", "most", "threads", "replicas", "proxy", "shared"),
    [
        ([2, 3, 4, 5, 6], [0, 1], 4, 1, [[3], [4], [5], [6]], [2], ""),
        ([2, 3, 4, 5, 6], [0, 1], 2, 1, [[3, 4], [5, 6]], [2], ""),
        ([2, 3, 4, 5, 6], [0, 1], 3, 2, [[4], [5], [6]], [2, 3], ""),
        ([2, 3, 4, 5, 6], [0, 1], 3, 1, [[3], [4], [5]], [2], ""),  # the fourth core is nobody's
        ([2, 3], [0, 1], 2, 1, [[2, 3], [2, 3]], [2, 3], "2 replicas and a proxy of 1 thread need 3"),
        ([2, 3], [], 2, 1, [[2, 3], [2, 3]], [2, 3], "share this machine's 8 cores"),
        ([], [], 2, 1, [[], []], [], "share this machine's 8 cores"),
    ],
)
def test_each_has_cores_of_its_own_or_the_record_says_what_is_shared(
    servers: list[int],
    load: list[int],
    most: int,
    threads: int,
    replicas: list[list[int]],
    proxy: list[int],
    shared: str,
) -> None:
    found = allot(Affinity(servers=servers, load=load), most, threads, 8)
    assert (found.replicas, found.proxy) == (replicas, proxy)
    assert shared in found.shared and bool(found.shared) == bool(shared)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Reading((10, 10), 1.0), Reading((40, 80), 1.5), Usage([0.3, 0.7], 5000.0)),
        (Reading((0,)), Reading((50,)), Usage([1.0], None)),
        (Reading((10, 10)), Reading((3, 80)), Usage()),  # one was started anew
        (Reading((10, 10)), Reading((10, 10)), Usage()),
        (Reading((10, 10)), Reading(), Usage()),  # one does not answer any more
    ],
)
def test_shares_and_the_proxys_time_are_what_was_counted_in_between(
    before: Reading, after: Reading, expected: Usage
) -> None:
    assert usage(before, after) == expected


def test_what_replicas_use_is_theirs_at_the_rate_that_was_answered_and_not_over_the_warm_up_too() -> None:
    before = Reading((0, 0), None, (Used(10.0, 100.0), Used(4.0, 90.0)))
    after = Reading((600, 400), None, (Used(10.6, 120.04), Used(4.4, 95.0)))
    found = usage(before, after)
    assert found.server_us == [600.0, 400.0] and found.server_mib == [120.0, 95.0]
    assert found.cores(2000.0) == [1.2, 0.8]
    assert usage(before, Reading((600, 400))).server_us == [], "one is gone"
    assert usage(Reading((0, 0)), after).server_mib == []


def test_cores_and_memory_of_the_replicas_are_told_where_they_were_read() -> None:
    (point,) = points(1, server_cores=[0.91, 0.95], server_mib=[210.4, 212.2])
    assert "p99 9.5 ms, 1.86 cores of the servers, 212 MiB per replica; 80/s" in told(point, "replicas")
    assert "cores" not in told(points(1)[0], "replicas")


def test_a_server_that_is_gone_has_used_nothing_that_is_known() -> None:
    here = server(pid=os.getpid(), pid_started=psutil.Process().create_time())
    gone = server(pid=os.getpid(), pid_started=1.0)  # another process has its number now
    consumption = Consumption()
    first, second = consumption.read([here]), consumption.read([here])
    assert 0 < first[0].cpu_s <= second[0].cpu_s and first[0].mib > 10
    assert consumption.read([gone]) == consumption.read([server(pid=None)]) == ()
    assert Consumption().read([here, gone]) == ()


def test_memory_for_fewer_than_wanted_is_refused_with_both_numbers() -> None:
    assert memory_refusal(4, 250.0, 1000.0) == ""
    assert memory_refusal(5, 250.0, 1000.0).startswith("5 replicas need 1250 MiB, 1000 are there")


def test_a_proxy_without_time_left_forbids_a_prediction() -> None:
    measured = points(5, proxy_us=4000.0)  # at 100/s and more, 40 % of a thread and more
    assert scaling(ENDPOINT, measured, "", True, "replicas", "HAProxy", 4).prediction is not None
    found = scaling(ENDPOINT, measured, "", True, "replicas", "HAProxy", 1)
    assert found.prediction is None and "--proxy-threads" in found.reason
    assert bottleneck(points(5), None) == ""


def test_an_invalid_point_is_kept_said_and_left_out_of_the_law() -> None:
    measured = [*points(5), *points(1, n=6, closed_rps=1.0, invalid="replica 2 died", max_rps=None)]
    found = scaling(ENDPOINT, measured, "", True, "replicas")
    assert found.prediction is not None and found.prediction.residual < 0.001
    assert found.reason.endswith("replicas 6: replica 2 died") and len(found.points) == 6
    assert told(measured[-1], "replicas") == "replicas 6: nothing may be concluded, replica 2 died"


def test_what_the_proxy_costs_is_said_where_one_replica_was_asked_both_ways() -> None:
    direct = points(1, variant="direct", closed_rps=125.0, p99_ms=5.0)[0]
    found = scaling(ENDPOINT, points(1, proxy_us=60.0), "", True, "replicas", "HAProxy", 1, direct)
    assert cost_of_proxy(found) == (
        "the proxy: 125 to 100/s of one replica (-20%) with 16 users, p99 5 to 9.5 ms, 60 µs of a processor per request"
    )
    assert cost_of_proxy(found.model_copy(update={"shared": "2 cores"})).endswith(
        "on shared cores only the last is its own"
    )
    assert cost_of_proxy(found.model_copy(update={"direct": None})) == ""
    lost = direct.model_copy(update={"invalid": "replica 1 died"})
    assert cost_of_proxy(found.model_copy(update={"direct": lost})) == ""


def test_shares_are_told_where_there_are_several() -> None:
    assert "shared 25% : 75%" in told(points(1, shares=[0.25, 0.75])[0], "replicas")
    assert "shared" not in told(points(1, shares=[1.0])[0], "replicas")


class Fake:
    """A unit whose replicas answer 400 requests per second each; ``dies`` is the number at which one is lost."""

    name: Any = "replicas"
    shared, proxy = "", "a proxy"
    proxy_threads: int | None = 1

    def __init__(self, loading: Machine, dies: int | None = None) -> None:
        self._loading = loading
        self._dies = dies
        self._number = 0

    def up(self, number: int) -> Endpoint:
        self._number = number
        self._loading.apply(self._loading.batching.model_copy(update={"instances": number}))
        return ENDPOINT

    def direct(self) -> Endpoint | None:
        return endpoint(address="127.0.0.1:1")

    def reading(self) -> Reading:
        count = sum(len(stages) for stages in self._loading.stages.values())
        return Reading((count * 1000,) * self._number, float(count))

    def lost(self) -> str:
        return "replica 1 died" if self._number == self._dies else ""


def test_a_curve_has_every_number_and_one_replica_without_the_proxy(tmp_path: Path) -> None:
    loading = Machine(tmp_path, lambda batching: 400.0 * batching.instances)
    unit, setting = Fake(loading), Setting("rate", tmp_path, in_flight=64)
    found = curve(Counting(loading, unit, setting, users=(4, 16)), unit, ENDPOINT, [1, 2, 3], tmp_path)
    assert [point.closed_rps for point in found.points] == [400.0, 800.0, 1200.0]
    assert [point.shares for point in found.points] == [[1.0], [0.5, 0.5], [0.3333] * 3]
    assert found.points[0].proxy_us == 1000.0
    assert found.direct is not None and found.direct.users == found.points[0].users
    assert loading.endpoints[found.direct.variant].address == "127.0.0.1:1"
    assert [stage.mode for stage in loading.stages[found.direct.variant]] == ["closed"]
    assert found.complete and found.unit == "replicas" and (tmp_path / "scaling.json").is_file()


def test_a_replica_that_is_lost_makes_its_point_invalid_and_the_others_go_on(tmp_path: Path) -> None:
    loading = Machine(tmp_path, lambda batching: 400.0 * batching.instances)
    unit, setting = Fake(loading, dies=2), Setting("rate", tmp_path, in_flight=64)
    found = curve(Counting(loading, unit, setting, users=(4,)), unit, ENDPOINT, [2, 3], tmp_path)
    first, second = found.points
    assert first.invalid == "replica 1 died" and first.max_rps is None and first.reason == first.invalid
    assert [stage.mode for stage in loading.stages[first.variant]] == ["closed"]  # no rate is sought any more
    assert not second.invalid and second.max_rps is not None
    assert found.direct is None  # 1 was not among the numbers: nothing to compare with


def test_a_server_that_fails_is_an_error_unless_a_lost_replica_explains_it(tmp_path: Path) -> None:
    class Failing(Machine):
        def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured:
            if stage.mode == "open":
                unit._dies = explains
                raise ServerError("it cannot be measured")
            return super().measure(variant_id, stage, early)

    loading = Failing(tmp_path, lambda batching: 400.0)
    unit = Fake(loading)
    counting = Counting(loading, unit, Setting("rate", tmp_path, in_flight=64), users=(4,))
    explains: int | None = 1
    assert counting.point(1).invalid == "replica 1 died"
    explains = None
    with pytest.raises(ServerError, match="cannot be measured"):
        counting.point(2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["x", "--replicas", "no"], "--replicas is 'no'"),
        (["x", "--deployment", "a/b"], "say how many with --replicas"),
        (["x", "--replicas", "1..2", "--proxy-threads", "0"], "--proxy-threads is 0"),
    ],
)
def test_the_command_line_refuses_what_makes_no_sense(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        main(words)


def test_numbers_of_replicas_name_their_own_flag() -> None:
    assert numbers_of("1..3", "--replicas") == [1, 2, 3]
    with pytest.raises(UsageError, match="--replicas is '0'"):
        numbers_of("0", "--replicas")


def test_a_point_from_before_replicas_is_read() -> None:
    old = {"n": 1, "variant": "x", "closed_rps": 5.0, "users": 4, "p99_ms": None, "max_rps": None}
    assert Point.model_validate(old).shares == []


def test_without_a_name_the_recommended_endpoint_is_scaled(tmp_path: Path) -> None:
    here, first, second = workspace(tmp_path), endpoint(), endpoint(protocol="grpc")
    up = endpoints(first, second)
    assert chosen(second.id, up, here) == second
    with pytest.raises(UsageError, match="run 'make slo' first"):
        chosen("", up, here)
    recommend(here, {"words": second.id})
    assert chosen("", up, here) == second
    recommend(here, {"words": "gone"})
    with pytest.raises(UsageError, match="recommends none of those"):
        chosen("", up, here)
    recommend(here, {"words": first.id, "others": second.id})
    with pytest.raises(UsageError, match=f"recommends {first.id}, {second.id} of those"):
        chosen("", up, here)


def recommend(here: Workspace, variants: dict[str, str]) -> None:
    """A newest report that recommends these variants, by model."""
    models = {name: recommended(variant=variant) for name, variant in variants.items()}
    write_json(here.reports / "latest" / "recommendation.json", recommendation(models=models))


def test_a_replica_that_cannot_be_started_is_an_error_with_the_reason(tmp_path: Path) -> None:
    absent = TRITON.model_copy(update={"command": ["/no/such/server"], "log": tmp_path / "x.log", "cores": []})
    with pytest.raises(ServerError, match="/no/such/server could not be started"):
        start_apart(absent)
    with pytest.raises(UsageError, match=r"affinity.servers names cores \[4095\]"):
        start_apart(absent.model_copy(update={"cores": [4095]}))
