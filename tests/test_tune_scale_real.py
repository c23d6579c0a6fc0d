"""Replicas of real servers behind a real HAProxy: requests are spread, a death is survived and noticed, nothing stays.

The tests of this file go through one life of one pair of servers, in their order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contract.endpoints import Endpoint, ServerRecord, Servers
from contract.errors import UsageError
from contract.events import read_events
from contract.files import read_model
from contract.scaling import Scaling
from loadtest.watching import counters
from serving.places.process import alive
from serving.places.processes import find, runs
from serving.proof.rechecking import recheck
from serving.replication import proxy
from serving.replication.fronting import How, fronted
from serving.replication.proxy_config import BALANCES, Balance
from serving.replication.replicas import replicated
from serving.supervise import watched
from tests.builders import wait_until
from tests.conftest import ROOT, run_module
from tests.fake_kubectl import Cluster
from tests.stage import KERAS_ON_TFSERVING, TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="[affinity] needs two cores")

HEAD = """
schema_version = 1
"""
MODELS = f"{HEAD}{TORCH_ON_TRITON}{KERAS_ON_TFSERVING}"
GRPC, HTTP = "torch__onnx__triton__grpc", "torch__onnx__triton__http"
ON_TFSERVING = ("keras__savedmodel__tfserving__grpc", "keras__savedmodel__tfserving__rest")
SENT = 20
DEADLINE_S = 120.0


class Replicated(Stage):
    """What runs beside the two servers, and what was measured with it."""

    def scale(
        self, *words: str, config: Path | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """The command in the background, in a session of its own."""
        flags = [*self.flags, *(("--config", str(config)) if config else ())]
        command = [sys.executable, "-m", "tune", "scale", GRPC, "--users", "2", *words, *flags]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def endpoint(self, id: str) -> Endpoint:
        return next(item for item in self.endpoints() if item.id == id)

    def servers(self) -> list[ServerRecord]:
        return read_model(self.workspace.servers, Servers, "make serve").servers

    def beside(self) -> list[ServerRecord]:
        """What was started beside the two servers."""
        return self.servers()[2:]

    def is_watched(self) -> bool:
        return watched(read_model(self.workspace.servers, Servers, "make serve").supervisor)

    def scaling(self) -> Scaling:
        return read_model(self.workspace.results / "latest" / "scaling.json", Scaling, "tune scale")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Replicated]:
    try:
        proxy.find()
    except UsageError as error:
        pytest.skip(f"NOT TESTED: {error}")
    with served_on(Replicated(tmp_path_factory.mktemp("replicas")), copy_zoo, MODELS) as found:
        yield found


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("id", [GRPC, HTTP])
def test_requests_of_one_connection_are_spread_over_both_replicas_of_triton(
    stage: Replicated, id: str, balance: Balance
) -> None:
    assert_spread(stage, id, balance)


@pytest.mark.parametrize("id", ON_TFSERVING)
def test_requests_of_one_connection_are_spread_over_both_replicas_of_tensorflow_serving(
    stage: Replicated, id: str
) -> None:
    assert_spread(stage, id, "roundrobin")


def assert_spread(stage: Replicated, id: str, balance: Balance) -> None:
    """Both replicas answer about half of what goes through the proxy, rightly, while the first server hears nothing."""
    endpoint = stage.endpoint(id)
    with replicated(endpoint, stage.workspace, [[], []]) as replicas:
        servers = replicas.bring_up(2)
        first = next(item for item in stage.servers() if item.engine == endpoint.engine)
        with fronted(endpoint, servers, stage.workspace, How(balance)) as front:
            asked = [replicas.at(server) for server in [*servers, first]]
            ports = [server.ports for server in [*servers, first]]
            before = [answered(*each) for each in zip(asked, ports, strict=True)]
            parity = recheck(front.endpoint, stage.workspace, SENT)
            after = [answered(*each) for each in zip(asked, ports, strict=True)]
            used = front.cpu_s()
    assert parity.passed and parity.requests == SENT
    grown = [late - early for early, late in zip(before, after, strict=True)]
    assert sum(grown) == SENT and grown[2] == 0
    assert min(grown[:2]) >= SENT * 0.4
    assert used is not None and used >= 0


def answered(endpoint: Endpoint, ports: dict[str, int]) -> int:
    """Requests that one server has answered, by its own account."""
    address = f"127.0.0.1:{ports[endpoint.protocol]}"
    counted = counters.read(endpoint.model_copy(update={"address": address}), ports)
    assert counted is not None
    return counted.success


def test_when_a_replica_dies_answers_keep_coming_and_another_takes_its_place(stage: Replicated) -> None:
    endpoint = stage.endpoint(GRPC)
    with replicated(endpoint, stage.workspace, [[], []]) as replicas:
        servers = replicas.bring_up(2)
        with fronted(endpoint, servers, stage.workspace, How()) as front:
            assert replicas.lost() == ""
            kill(servers[0])
            parity = recheck(front.endpoint, stage.workspace, SENT)
            assert parity.passed and parity.requests == SENT
            assert replicas.lost() == "replica 1 died" and front.lost() == ""
        event = read_events(stage.workspace.events)[-1]
        assert (event.what, event.detail) == ("died", "replica 1 died") and event.last_lines
        again = replicas.bring_up(2)
        assert again[1] == servers[1] and again[0].pid != servers[0].pid
        assert replicas.lost() == ""
        stub = psutil.Process(again[1].pid).children()[0]
        stub.kill()
        assert wait_until(lambda: not runs(stub))
        assert replicas.lost() == "replica 2 lost a process of its model"


def kill(server: ServerRecord) -> None:
    process = find(server.pid, server.pid_started)
    assert process is not None
    process.kill()
    assert wait_until(lambda: not alive(server))


def test_afterwards_the_servers_are_watched_and_alone_as_before(stage: Replicated) -> None:
    assert stage.beside() == [] and stage.is_watched()
    assert "already run" in stage.run("serving", "up").stderr


def test_one_and_two_replicas_are_measured_and_one_without_the_proxy(stage: Replicated) -> None:
    with stage.scale("--replicas", "1..2") as process:
        output, words = process.communicate(timeout=600)
    assert process.returncode == 0, words
    found = stage.scaling()
    assert (found.unit, found.complete, found.proxy_threads) == ("replicas", True, 1)
    assert [point.n for point in found.points] == [1, 2]
    assert all(point.closed_rps > 0 and point.p99_ms and not point.invalid for point in found.points)
    assert all(0.2 < share < 0.8 for share in found.points[1].shares)
    assert [len(point.server_cores) for point in found.points] == [1, 2]
    cores = len(os.sched_getaffinity(0))
    assert all(0 < sum(point.server_cores) <= cores * 1.2 for point in found.points)
    assert all(mib > 50 for point in found.points for mib in point.server_mib)
    assert found.points[0].proxy_us and found.direct is not None and found.direct.closed_rps > 0
    assert "HAProxy" in found.proxy and found.prediction is None and "a fit needs" in found.reason
    assert "share" in found.shared and "the proxy: " in output
    plan = json.loads((stage.workspace.results / "latest" / "plan.json").read_text())
    conditions = {item["id"]: item["endpoint"]["conditions"] for item in plan["variants"]}
    assert [each["replicas"] for each in conditions.values()] == ["1", "1", "2"]
    assert conditions[found.direct.variant]["proxy"] == "none"
    judged = run_module("report", "--workspace", str(stage.root))
    assert "Traceback" not in judged.stderr
    assert stage.beside() == [] and stage.is_watched()


def test_a_replica_that_dies_under_load_makes_its_point_invalid(stage: Replicated) -> None:
    before = stage.workspace.results / "latest"
    last = before.resolve()
    with stage.scale("--replicas", "2") as process:
        assert wait_until(lambda: before.resolve() != last and records(stage) > 0, DEADLINE_S)
        kill(stage.beside()[0])
        _, words = process.communicate(timeout=600)
    assert process.returncode == 0, words
    (point,) = stage.scaling().points
    assert point.invalid == "replica 1 died" and point.max_rps is None
    assert "replica 1 died" in stage.scaling().reason
    assert stage.beside() == []


def records(stage: Replicated) -> int:
    """Stages of the newest run that are in its plan: one is under load as soon as there is one."""
    plan = stage.workspace.results / "latest" / "plan.json"
    return sum(len(item["stages"]) for item in json.loads(plan.read_text())["variants"]) if plan.is_file() else 0


def test_a_deployment_is_scaled_measured_and_scaled_back(stage: Replicated, tmp_path: Path) -> None:
    """Behind the address is one server, which is why more replicas do no more; the cluster is a file."""
    cluster = Cluster(tmp_path)
    environment = {**os.environ, "PATH": f"{cluster.path}{os.pathsep}{os.environ['PATH']}"}
    with stage.scale("--replicas", "1..2", "--deployment", "loadproof/triton", environment=environment) as process:
        _, words = process.communicate(timeout=600)
    assert process.returncode == 0, words
    found = stage.scaling()
    assert [point.n for point in found.points] == [1, 2] and found.complete
    assert all(point.closed_rps > 0 and not point.invalid for point in found.points)
    assert found.direct is None and found.proxy.startswith("Deployment loadproof/triton behind 127.0.0.1:")
    assert "is this machine" in found.shared and cluster["replicas"] == 2
    assert stage.beside() == [] and stage.is_watched()


@TWO_CORES
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_polite_end_stop_every_replica_and_the_proxy(stage: Replicated, number: signal.Signals) -> None:
    """They run on the cores of [affinity] meanwhile, although the load generator was started on others before."""
    cores = sorted(os.sched_getaffinity(0))
    pinned = stage.root / "pinned.toml"
    pinned.write_text(f"{MODELS}\n[affinity]\nservers = [{cores[-1]}]\nload = [{cores[0]}]\n")
    with stage.scale("--replicas", "2", config=pinned) as process:
        assert wait_until(lambda: len(stage.beside()) == 3, DEADLINE_S)  # two replicas and the proxy
        started = stage.beside()
        assert process.pid not in {psutil.Process(server.pid).ppid() for server in started}  # its children are the load
        assert {tuple(psutil.Process(server.pid).cpu_affinity()) for server in started} == {(cores[-1],)}
        process.send_signal(number)
        _, words = process.communicate(timeout=120)
    assert process.returncode == 130, words
    assert not any(alive(server) for server in started)
    assert stage.beside() == [] and stage.is_watched()


def test_after_a_kill_make_stop_finds_every_replica_and_the_proxy(stage: Replicated) -> None:
    with stage.scale("--replicas", "2") as process:
        assert wait_until(lambda: len(stage.beside()) == 3, DEADLINE_S)
        started = stage.servers()
        os.killpg(process.pid, signal.SIGKILL)  # with its load processes
        process.communicate(timeout=30)
    assert all(alive(server) for server in started)
    status = run_module("serving", "status", "--workspace", str(stage.root)).stdout
    assert status.count("pid") >= len(started)
    stopped = run_module("serving", "stop", "--workspace", str(stage.root))
    assert stopped.returncode == 0, stopped.stderr
    assert not any(alive(server) for server in started)
    assert not list(Path("/dev/shm").glob(f"{started[2].shm_prefix}*"))
