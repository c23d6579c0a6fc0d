"""What the servers used while they were under load: real processes are watched, and what cannot be read says why."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import docker.errors
import psutil
import pyarrow as pa
import pytest

import docker
from contract.endpoints import ServerRecord, Servers
from contract.errors import UsageError
from contract.files import write_json
from contract.samples import SCHEMA, part_name, read_samples
from loadtest.watching import sampling, server_probes
from loadtest.watching.connections import established
from loadtest.watching.gpu import LIBRARY, Gpus
from loadtest.watching.probes import Instant, Probe, Row
from loadtest.watching.process_tree import ProcessTree, parents
from loadtest.watching.sampling import Sampler
from loadtest.watching.server_probes import MetricsPage, ServerContainer, ServerProcess, of_container, of_page
from tests.builders import free_port, server, wait_until

PERIOD_S = 0.02
PAGE = """# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="a",version="1"} 3
nv_inference_pending_request_count{model="b",version="1"} 4
nv_cpu_utilization 0.25
nv_cpu_memory_used_bytes 2839396352
nv_gpu_utilization{gpu_uuid="GPU-7"} 0.5
nv_gpu_memory_used_bytes{gpu_uuid="GPU-7"} 1048576
nv_gpu_power_usage{gpu_uuid="GPU-7"} 61.5
"""
WAITS = "import sys; print('up', flush=True); sys.stdin.readline()"
# Uses half a second of CPU itself and as much in a child that ends, then waits to be told to end.
BURNS = """
import subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.5: pass"
exec(burn)
subprocess.run([sys.executable, "-c", burn], check=True)
print(time.process_time(), flush=True)
sys.stdin.readline()
"""

# Leaves the burning to a child that does not end by itself, and says which.
FORKS = """
import os, sys
child = os.fork()
while not child: pass
print(child, flush=True)
sys.stdin.readline()
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs and waits for their first line."""
    running = []

    def start(program: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(child)
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


@pytest.fixture
def serve_page() -> Iterator[Callable[[int], int]]:
    """Starts a server whose metrics page is PAGE on a port (0: a free one) and returns the port."""
    running: list[http.server.ThreadingHTTPServer] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    def serve(port: int) -> int:
        running.append(http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler))
        threading.Thread(target=running[-1].serve_forever, args=(0.01,)).start()
        return int(running[-1].server_address[1])

    yield serve
    for found in running:
        found.shutdown()
        found.server_close()


def record(pid: int | None = None, **changes: Any) -> ServerRecord:
    """A server that is this process of the machine; without a metrics page."""
    started = psutil.Process(pid).create_time() if pid else None
    return server(**({"pid": pid, "pid_started": started, "ports": {"http": 1}} | changes))


def remember(file: Path, *servers: ServerRecord) -> None:
    write_json(file, Servers(schema_version=1, servers=list(servers)))


def sampled(folder: Path, subject: str) -> list[Row]:
    """The rows of one subject in the order of time."""
    return [row for row in read_samples(folder).to_pylist() if row["subject"] == subject]


def wait_for_cpu(tree: ProcessTree, seconds: float) -> float:
    assert wait_until(lambda: tree.read(parents())["cpu_s"] > seconds)
    return tree.read(parents())["cpu_s"]


def now(connections: dict[int, int] | None = None) -> Instant:
    return Instant(parents(), connections)


def test_every_subject_has_a_row_at_every_instant(
    tmp_path: Path, start: Start, serve_page: Callable[[int], int]
) -> None:
    child = start(WAITS)
    item = record(child.pid, ports={"http": 1, "metrics": serve_page(0)})
    with Sampler([item], tmp_path, tmp_path / "servers.json", PERIOD_S, part_s=PERIOD_S):
        assert wait_until(lambda: (tmp_path / part_name(4)).exists())
    counts = {name: len(sampled(tmp_path, name)) for name in ("triton", "triton metrics", "load", "machine", "sampler")}
    assert len(set(counts.values())) == 1 and counts["triton"] >= 5
    times = read_samples(tmp_path).column("at_ns").to_pylist()
    assert times == sorted(times)


def test_the_cpu_of_a_server_is_that_of_its_processes_ended_children_included(tmp_path: Path, start: Start) -> None:
    child = start(BURNS)
    assert child.stdout is not None
    with Sampler([record(child.pid)], tmp_path, tmp_path / "servers.json", PERIOD_S):
        own = float(child.stdout.readline())
    used = [row["cpu_s"] for row in sampled(tmp_path, "triton")]
    assert used == sorted(used)
    # The kernel counts in hundredths of a second; the child's interpreter has to start.
    assert own + 0.45 < used[-1] < own + 0.8


def test_the_cpu_of_a_child_between_two_readings_is_counted_once(start: Start) -> None:
    child = start(BURNS)
    assert child.stdout is not None
    tree = ProcessTree(psutil.Process(child.pid))
    first = tree.read(parents())["cpu_s"]
    own = float(child.stdout.readline())
    assert first < 0.45
    assert own + 0.45 < tree.read(parents())["cpu_s"] == tree.read(parents())["cpu_s"] < own + 0.8


def test_the_cpu_of_a_child_that_nobody_waits_for_is_what_was_last_read(start: Start) -> None:
    child = start("import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n" + FORKS)
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    tree = ProcessTree(psutil.Process(child.pid))
    seen = wait_for_cpu(tree, 0.3)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not psutil.pid_exists(pid))
    assert tree.read(parents())["cpu_s"] >= seen


def test_memory_and_threads_are_those_of_the_process(start: Start) -> None:
    child = start("import sys; block = b'x' * 50_000_000; print('up', flush=True); sys.stdin.readline()")
    assert child.stdout is not None
    child.stdout.readline()
    found = ProcessTree(psutil.Process(child.pid)).read(parents())
    assert 50_000_000 <= found["private_bytes"] <= found["memory_bytes"] < 200_000_000
    assert found["threads"] == 1


def test_parents_are_those_that_the_kernel_tells(start: Start) -> None:
    child = start(WAITS)
    assert parents()[child.pid] == os.getpid()


def test_a_server_that_was_started_again_is_found_by_its_record(tmp_path: Path, start: Start) -> None:
    first, second = start(WAITS), start(WAITS)
    file = tmp_path / "servers.json"
    probe = ServerProcess(record(first.pid), file)
    remember(file, record(second.pid, engine="tfserving"), record(second.pid))
    assert probe.rows(now())[0]["pid"] == first.pid
    first.kill()
    first.wait()
    assert probe.rows(now())[0]["pid"] == second.pid


@pytest.mark.parametrize("remembered", [True, False])
def test_a_server_that_is_gone_says_so_until_it_is_back(tmp_path: Path, start: Start, remembered: bool) -> None:
    first, second = start(WAITS), start(WAITS)
    file = tmp_path / "servers.json"
    item = record(first.pid)
    if remembered:
        remember(file, item)
    probe = ServerProcess(item, file)
    probe.rows(now())
    first.kill()  # not waited for: a zombie does not run either
    assert wait_until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE)
    assert probe.rows(now()) == [{"subject": "triton", "absent": f"absent: process {first.pid} is gone"}]
    remember(file, record(second.pid))
    assert probe.rows(now())[0]["pid"] == second.pid


def test_a_server_that_is_reached_by_its_address_has_no_process(tmp_path: Path) -> None:
    with Sampler([record(place="url")], tmp_path, tmp_path / "servers.json", PERIOD_S):
        pass
    assert {row["absent"] for row in sampled(tmp_path, "triton")} == {"absent: the server runs elsewhere"}


def test_connections_are_counted_at_the_servers_ports() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as listening:
        port = int(listening.server_address[1])
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            counted = established()
            assert counted is not None and counted[port] == 2
        probe = ServerProcess(record(os.getpid(), ports={"http": port, "grpc": 7}), Path("nowhere"))
        assert probe.rows(now({port: 2, 7: 1, 8: 5}))[0]["connections"] == 3
        assert "connections" not in probe.rows(now())[0]


def test_connections_that_the_kernel_does_not_tell_are_unknown_and_not_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError("a sandbox")

    monkeypatch.setattr("loadtest.watching.connections.socket.socket", refused)
    assert established() is None


def test_what_the_servers_own_page_says_is_sampled(serve_page: Callable[[int], int]) -> None:
    probe = MetricsPage(server(ports={"metrics": serve_page(0)}))
    for _ in range(2):  # over one connection
        machine, gpu = probe.rows(now())
        assert machine == {
            "subject": "triton metrics",
            "pending": 7,
            "utilization": 0.25,
            "memory_bytes": 2839396352,
        }
        assert (gpu["subject"], gpu["utilization"], gpu["power_w"]) == ("triton gpu GPU-7", 0.5, 61.5)
    probe.close()


def test_a_page_that_does_not_answer_says_so_and_is_asked_again(serve_page: Callable[[int], int]) -> None:
    port = free_port()
    probe = MetricsPage(server(ports={"metrics": port}))
    assert "metrics page does not answer" in probe.rows(now())[0]["absent"]
    serve_page(port)
    assert probe.rows(now())[0]["pending"] == 7
    probe.close()


def test_an_empty_page_has_a_machine_without_figures_and_no_gpu() -> None:
    assert of_page("", "triton") == [
        {"subject": "triton metrics", "pending": 0, "utilization": None, "memory_bytes": None}
    ]


def test_a_containers_file_cache_is_no_memory_in_use() -> None:
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
        "memory_stats": {"usage": 900, "stats": {"inactive_file": 300}},
        "pids_stats": {"current": 12},
    }
    assert of_container(stats) == {"cpu_s": 2.5, "memory_bytes": 600, "threads": 12}


def test_a_container_that_has_ended_has_no_figures() -> None:
    ended = {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}, "pids_stats": {}}
    assert of_container(ended) == {}


class Docker:
    """Docker's API with one container, which may run here, run elsewhere, or be gone."""

    STATS: ClassVar[Row] = {
        "cpu_stats": {"cpu_usage": {"total_usage": 3_000_000_000}},
        "memory_stats": {"usage": 700},
        "pids_stats": {"current": 2},
    }

    def __init__(self, container: str, pid: int) -> None:
        self.container, self.pid = container, pid

    def inspect_container(self, container: str) -> Row:
        self._find(container)
        return {"State": {"Pid": self.pid}}

    def stats(self, container: str, stream: bool, one_shot: bool) -> Row:
        self._find(container)
        return self.STATS

    def _find(self, container: str) -> None:
        if container != self.container:
            raise docker.errors.NotFound("No such container")

    def close(self) -> None:
        """Nothing is open."""


def container_probe(monkeypatch: pytest.MonkeyPatch, api: Docker, file: Path) -> ServerContainer:
    """The probe of the container `old`, asking this Docker."""
    monkeypatch.setattr(docker, "from_env", lambda timeout: types.SimpleNamespace(api=api))
    return ServerContainer(record(place="docker", container="old"), file)


def test_a_container_whose_processes_are_not_here_has_dockers_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This process has the container's number and is another one: its control group does not name the container.
    probe = container_probe(monkeypatch, Docker("old", os.getpid()), tmp_path / "servers.json")
    assert probe.rows(now()) == [{"subject": "triton", "cpu_s": 3.0, "memory_bytes": 700, "threads": 2}]
    probe.close()


def test_a_container_whose_processes_are_here_is_read_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    child = start(WAITS)
    monkeypatch.setattr(server_probes, "_control_group", lambda pid: f"0::/docker/old of {pid}")
    probe = container_probe(monkeypatch, Docker("old", child.pid), tmp_path / "servers.json")
    assert probe.rows(now())[0]["pid"] == child.pid
    probe.close()


def test_a_container_that_was_started_again_is_found_by_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "servers.json"
    probe = container_probe(monkeypatch, Docker("new", 0), file)
    assert probe.rows(now()) == [{"subject": "triton", "absent": "absent: container old is gone"}]
    remember(file, record(place="docker", container="new"))
    probe.rows(now())
    assert probe.rows(now())[0]["memory_bytes"] == 700
    probe.close()


def test_without_docker_a_container_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    probe = ServerContainer(record(place="docker", container="abc"), tmp_path / "servers.json")
    assert probe.rows(now())[0]["absent"].startswith("absent: Docker does not tell: ")
    probe.close()


class Nvml(types.ModuleType):
    """NVIDIA's library with two GPUs, of which the second has no power meter and no figure of its use."""

    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1

    class NVMLError(Exception):
        """As there."""

    def __init__(self, gpus: int = 2, refuses: str = "") -> None:
        super().__init__(LIBRARY)
        self.gpus, self.refuses, self.open = gpus, refuses, False

    def nvmlInit(self) -> None:
        if self.refuses:
            raise self.NVMLError(self.refuses)
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetUtilizationRates(self, device: int) -> Any:
        if device == 1:
            raise self.NVMLError("Not Supported")
        return types.SimpleNamespace(gpu=37, memory=5)

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return types.SimpleNamespace(used=1000 + device, total=5000)

    def nvmlDeviceGetPowerUsage(self, device: int) -> int:
        if device == 1:
            raise self.NVMLError("Not Supported")
        return 61500

    def nvmlDeviceGetTemperature(self, device: int, sensor: int) -> int:
        return 40 + sensor

    def nvmlDeviceGetClockInfo(self, device: int, clock: int) -> int:
        return 1400 + clock


def test_gpus_are_read_and_a_figure_that_one_does_not_have_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, LIBRARY, nvml)
    probe = Gpus()
    assert not nvml.open
    first, second = probe.rows(now())
    assert first == {
        "subject": "gpu 0",
        "utilization": 0.37,
        "memory_bytes": 1000,
        "power_w": pytest.approx(61.5),
        "temperature_c": 40.0,
        "clock_mhz": 1401.0,
    }
    assert (second["subject"], second["memory_bytes"]) == ("gpu 1", 1001)
    assert second["utilization"] is None and second["power_w"] is None
    probe.close()
    assert not nvml.open


@pytest.mark.parametrize(
    ("library", "why"),
    [
        (None, "absent: no NVML library (pip install nvidia-ml-py)"),
        (Nvml(refuses="Driver Not Loaded"), "absent: NVML does not start: Driver Not Loaded"),
        (Nvml(gpus=0), "absent: NVML sees no GPU"),
    ],
    ids=["no library", "no driver", "no GPU"],
)
def test_without_a_gpu_its_row_says_why(monkeypatch: pytest.MonkeyPatch, library: Nvml | None, why: str) -> None:
    monkeypatch.setitem(sys.modules, LIBRARY, library)
    probe = Gpus()
    assert [probe.rows(now()) for _ in range(2)] == [[{"subject": "gpu", "absent": why}]] * 2
    probe.close()


class Broken(Probe):
    """A probe whose library fails in its own way."""

    subject = "machine"

    def rows(self, instant: Instant) -> list[Row]:
        raise RuntimeError("of its own")


def test_a_probe_that_fails_becomes_a_row_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "Machine", Broken)
    with Sampler([], tmp_path, tmp_path / "servers.json", PERIOD_S, part_s=PERIOD_S):
        assert wait_until(lambda: (tmp_path / part_name(2)).exists())
    assert {row["absent"] for row in sampled(tmp_path, "machine")} == {"absent: RuntimeError: of its own"}
    assert len(sampled(tmp_path, "load")) > 1


def test_the_load_goes_on_where_samples_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Sampler([], tmp_path / "gone", tmp_path / "servers.json", PERIOD_S):
        went_on = True
    assert went_on
    assert "the servers are no longer sampled" in capsys.readouterr().err


def test_sampling_leaves_the_cores_to_client_and_server(tmp_path: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with Sampler([], tmp_path, tmp_path / "servers.json", PERIOD_S):
        (thread,) = [item for item in threading.enumerate() if item.name == "sampler"]
        assert thread.native_id is not None
        number = thread.native_id
        assert wait_until(lambda: os.getpriority(os.PRIO_PROCESS, number) == sampling.NICENESS)
        assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_parts_are_written_while_it_runs_and_read_as_one(tmp_path: Path) -> None:
    with Sampler([], tmp_path, tmp_path / "servers.json", PERIOD_S, part_s=2 * PERIOD_S):
        assert wait_until(lambda: (tmp_path / part_name(2)).exists())
    assert len(sampled(tmp_path, "load")) >= 6
    assert not list(tmp_path.glob("*.tmp"))


def test_what_was_sampled_before_a_kill_can_be_read(tmp_path: Path, start: Start) -> None:
    child = start(
        "import sys; from pathlib import Path; from loadtest.watching.sampling import Sampler\n"
        f"with Sampler([], Path({str(tmp_path)!r}), Path('none'), {PERIOD_S}, part_s={PERIOD_S}): sys.stdin.readline()"
    )
    assert wait_until(lambda: (tmp_path / part_name(3)).exists(), 30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert len(sampled(tmp_path, "load")) >= 4


def test_without_parts_there_are_no_samples(tmp_path: Path) -> None:
    assert read_samples(tmp_path).equals(SCHEMA.empty_table())


def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / part_name(0)
    path.write_bytes(b"not parquet")
    with pytest.raises(UsageError, match="server-samples-00000"):
        read_samples(tmp_path)
    pa.parquet.write_table(pa.table({"at_ns": [1]}), path)
    with pytest.raises(UsageError, match="lacks the columns absent"):
        read_samples(tmp_path)
