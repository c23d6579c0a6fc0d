"""The proxy before replicas while it runs: started anew for every set of replicas, ended with the block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from contract.endpoints import Endpoint, ServerRecord
from contract.workspace import Workspace
from serving.places import process as place_process
from serving.places.launch import Launch
from serving.places.ports import host_port
from serving.places.processes import find
from serving.proof.proving import insist
from serving.proof.rechecking import FEW, recheck
from serving.replication import proxy
from serving.replication.proxy_config import Balance
from serving.replication.running import start, stop_all


@dataclass(frozen=True)
class How:
    """How requests are spread. ``cores``: what the proxy may use; none: any."""

    balance: Balance = "leastconn"
    threads: int = 1
    cores: tuple[int, ...] = ()


class Front:
    """A proxy that runs, and the endpoint that it serves."""

    def __init__(self, server: ServerRecord, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._server = server

    def cpu_s(self) -> float | None:
        """Processor seconds that it has used so far; None where it is gone."""
        process = find(self._server.pid, self._server.pid_started)
        try:
            times = process.cpu_times() if process else None
        except psutil.Error:
            return None
        return float(times.user + times.system) if times else None

    def lost(self) -> str:
        """Whether it died; empty where it runs."""
        return "" if place_process.alive(self._server) else "the proxy died"


@contextmanager
def fronted(endpoint: Endpoint, replicas: list[ServerRecord], workspace: Workspace, how: How) -> Iterator[Front]:
    """A proxy before these replicas, proven: a few golden requests for each of them are answered rightly through it.

    Raises UsageError where there is no HAProxy, ServerError where it does not come up, ParityError.
    """

    def make() -> Launch:
        return proxy.launch(endpoint, replicas, workspace, how.balance, how.threads, list(how.cores))

    server = start(make, workspace, "HAProxy", f"behind HAProxy {proxy.version(proxy.find())}")
    try:
        address = host_port(server.host, server.ports[endpoint.protocol])
        through = endpoint.model_copy(update={"address": address})
        insist(recheck(through, workspace, FEW * len(replicas)), f"{endpoint.id} through the proxy")
        yield Front(server, through)
    finally:
        stop_all([server], workspace)
