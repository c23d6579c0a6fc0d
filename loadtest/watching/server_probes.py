"""The probes of a server: by its place (a process, a container, elsewhere), and by its own metrics page."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from contract.endpoints import ServerRecord, Servers
from contract.errors import LoadproofError
from contract.files import read_model
from contract.samples import GPU, METRICS
from loadtest.watching.probes import Instant, Probe, Row, absent
from loadtest.watching.process_tree import ProcessTree, find
from loadtest.watching.prometheus import samples, total

TIMEOUT_S = 2.0
USAGE = "usage"  # purpose of the port that tells what a server elsewhere uses


def probes_of(server: ServerRecord, servers_file: Path) -> list[Probe]:
    """What is to be watched of one server."""
    found: list[Probe] = [PLACES[server.place](server, servers_file) if server.place in PLACES else Elsewhere(server)]
    return [*found, MetricsPage(server)] if "metrics" in server.ports else found


def _again(server: ServerRecord, servers_file: Path) -> ServerRecord:
    """The record of the server after supervision started it again: another pid or container on the same ports."""
    try:
        records = read_model(servers_file, Servers, "make serve").servers
    except LoadproofError:
        return server
    return next((item for item in records if (item.engine, item.ports) == (server.engine, server.ports)), server)


class ServerProcess(Probe):
    """A server that runs as a process of this machine, with its children."""

    def __init__(self, server: ServerRecord, servers_file: Path) -> None:
        self.subject = server.engine
        self._server = server
        self._servers_file = servers_file
        self._tree: ProcessTree | None = None

    def rows(self, instant: Instant) -> list[Row]:
        if self._tree is None or not self._tree.runs():
            self._tree = self._find()
        if self._tree is None:
            return [self._without_process()]
        row: Row = {"subject": self.subject, **self._tree.read(instant.parent_of)}
        if instant.connections is not None:
            row["connections"] = sum(instant.connections.get(port, 0) for port in self._server.ports.values())
        return [row]

    def _find(self) -> ProcessTree | None:
        for _ in range(2):
            process = find(self._server.pid, self._server.pid_started)
            if process and process.status() != psutil.STATUS_ZOMBIE:
                return ProcessTree(process)
            self._server = _again(self._server, self._servers_file)
        return None

    def _without_process(self) -> Row:
        return absent(self.subject, f"process {self._server.pid} is gone")


class ServerContainer(ServerProcess):
    """A server in a container: by its processes where this machine's kernel runs them, else by Docker's figures.

    Docker gives those once a second and lets the caller wait for them, so its own processes are looked for first.
    """

    def __init__(self, server: ServerRecord, servers_file: Path) -> None:
        super().__init__(server, servers_file)
        self._docker: Any = None

    def _find(self) -> ProcessTree | None:
        from docker.errors import DockerException

        try:
            pid = self._api().inspect_container(self._server.container)["State"]["Pid"]
            process = find(pid or None, None)
            return ProcessTree(process) if process and str(self._server.container) in _control_group(pid) else None
        except DockerException:
            return None  # asked again for its figures, Docker says why

    def _without_process(self) -> Row:
        from docker.errors import DockerException, NotFound

        try:
            stats = self._api().stats(self._server.container, stream=False, one_shot=True)
            found = of_container(stats)
            return found | {"subject": self.subject} if found else absent(self.subject, "its container does not run")
        except NotFound:
            gone, self._server = self._server, _again(self._server, self._servers_file)
            return absent(self.subject, f"container {str(gone.container)[:12]} is gone")
        except DockerException as error:
            return absent(self.subject, f"Docker does not tell: {error}")

    def _api(self) -> Any:
        import docker

        if self._docker is None:
            self._docker = docker.from_env(timeout=TIMEOUT_S).api
        return self._docker

    def close(self) -> None:
        if self._docker is not None:
            self._docker.close()


def _control_group(pid: int) -> str:
    """The control group of a process, which names its container; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


def of_container(stats: Mapping[str, Any]) -> Row:
    """The figures in one answer of Docker's stats; empty for a container that has ended.

    What the kernel may drop of its file cache is no memory in use.
    """
    memory = stats.get("memory_stats", {})
    if "usage" not in memory:
        return {}
    return {
        "cpu_s": stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
        "memory_bytes": memory["usage"] - memory.get("stats", {}).get("inactive_file", 0),
        "threads": stats.get("pids_stats", {}).get("current"),
    }


class Elsewhere(Probe):
    """A server that is reached by its address only: what it uses is told beside it (usage_page.py), or not at all."""

    FIGURES = ("pid", "cpu_s", "memory_bytes", "private_bytes", "threads")

    def __init__(self, server: ServerRecord, servers_file: Path | None = None) -> None:
        self.subject = server.engine
        port = server.ports.get(USAGE)
        self._page = None if port is None else http.client.HTTPConnection(server.host, port, timeout=TIMEOUT_S)

    def rows(self, instant: Instant) -> list[Row]:
        if self._page is None:
            return [absent(self.subject, "the server runs elsewhere")]
        try:
            self._page.request("GET", "/")
            told = json.loads(self._page.getresponse().read())
            if "absent" in told:
                return [absent(self.subject, f"beside the server {told['absent']}")]
            return [{"subject": self.subject, **{name: told[name] for name in self.FIGURES}}]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            return [absent(self.subject, f"what tells its usage does not answer: {error or type(error).__name__}")]
        finally:
            self._page.close()

    def close(self) -> None:
        if self._page is not None:
            self._page.close()


class MetricsPage(Probe):
    """What Triton's own page says: requests that wait, its machine's CPU and memory, its GPUs. A GET every instant."""

    PATH = "/metrics"

    def __init__(self, server: ServerRecord) -> None:
        self.subject = server.engine + METRICS
        self._engine = server.engine
        self._connection = http.client.HTTPConnection(server.host, server.ports["metrics"], timeout=TIMEOUT_S)

    def rows(self, instant: Instant) -> list[Row]:
        try:
            self._connection.request("GET", self.PATH)
            return of_page(self._connection.getresponse().read().decode(), self._engine)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()  # the next request opens it anew
            return [absent(self.subject, f"its metrics page does not answer: {error or type(error).__name__}")]

    def close(self) -> None:
        self._connection.close()


def of_page(page: str, engine: str) -> list[Row]:
    """The rows in one metrics page: the server's machine, then its GPUs, which the page knows by their UUID."""
    gauges = {(item.name, item.labels.get("gpu_uuid", "")): item.value for item in samples(page)}
    machine: Row = {
        "subject": engine + METRICS,
        "pending": int(total(page, "nv_inference_pending_request_count")),
        "utilization": gauges.get(("nv_cpu_utilization", "")),
        "memory_bytes": _whole(gauges.get(("nv_cpu_memory_used_bytes", ""))),
    }
    uuids = sorted({uuid for name, uuid in gauges if uuid})
    return [machine] + [
        {
            "subject": f"{engine} {GPU} {uuid}",
            "utilization": gauges.get(("nv_gpu_utilization", uuid)),
            "memory_bytes": _whole(gauges.get(("nv_gpu_memory_used_bytes", uuid))),
            "power_w": gauges.get(("nv_gpu_power_usage", uuid)),
        }
        for uuid in uuids
    ]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


PLACES: dict[str, Callable[[ServerRecord, Path], Probe]] = {
    "process": ServerProcess,
    "docker": ServerContainer,
    "url": Elsewhere,
}
