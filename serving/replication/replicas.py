"""Replicas of one served model on this machine: as many as wanted, each with the same bytes, each proven by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.endpoints import Endpoint, ServerRecord
from contract.events import append_event, happened
from contract.files import write_text
from contract.progress import say
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines.model_processes import model_processes
from serving.layout.tfserving_config import models_config
from serving.places import process as place_process
from serving.places.launch import Launch
from serving.places.ports import choose_ports, host_port
from serving.proof.proving import insist
from serving.proof.rechecking import recheck
from serving.replication.launches import replica_launch
from serving.replication.origin import launch_of, server_of
from serving.replication.running import beside, start, stop_all

EVERY = 10**6  # golden requests, however many there are


@dataclass(frozen=True)
class Replica:
    """One server. ``processes``: how many its model had when it was proven; 0 where the engine has it in its own."""

    number: int
    server: ServerRecord
    processes: int

    @property
    def fault(self) -> str:
        """What became of it since; empty where it is as it was."""
        if not place_process.alive(self.server):
            return f"replica {self.number} died"
        if len(model_processes(self.server)) < self.processes:
            return f"replica {self.number} lost a process of its model"
        return ""


class Replicas:
    """Servers that `replicated` ends. ``cores`` has the core numbers of every replica that there may be."""

    def __init__(self, endpoint: Endpoint, workspace: Workspace, cores: list[list[int]]) -> None:
        self._endpoint = endpoint
        self._workspace = workspace
        self._cores = cores
        self._origin = launch_of(endpoint, workspace)
        self._version = server_of(endpoint, workspace).engine_version
        self._replicas: dict[int, Replica] = {}

    def bring_up(self, many: int) -> list[ServerRecord]:
        """Have ``many``: what is missing or was lost is started, loaded and proven; none is taken away.

        Raises ServerError where one does not start or load, ParityError where it answers wrongly.
        """
        self._end([replica for replica in self._replicas.values() if replica.fault])
        for number in range(1, many + 1):
            if number not in self._replicas:
                self._replicas[number] = self._another(number)
        return [self._replicas[number].server for number in range(1, many + 1)]

    def at(self, server: ServerRecord) -> Endpoint:
        """The endpoint of one replica, which is asked without a proxy."""
        address = host_port(server.host, server.ports[self._endpoint.protocol])
        return self._endpoint.model_copy(update={"address": address})

    def lost(self) -> str:
        """Which died, or lost a process of the model, since they were proven; empty: none.

        Each is an event too, with the last lines of its log.
        """
        faults = []
        for replica in self._replicas.values():
            if fault := replica.fault:
                lines = place_process.last_lines(replica.server)
                event = happened("died", replica.server.engine, self._endpoint.served_name, fault, lines)
                append_event(self._workspace.events, event)
                faults.append(fault)
        return ", ".join(faults)

    def _end(self, replicas: list[Replica]) -> None:
        stop_all([replica.server for replica in replicas], self._workspace)
        for replica in replicas:
            del self._replicas[replica.number]

    def _launch(self, number: int) -> Launch:
        ports = choose_ports(dict.fromkeys(self._origin.ports, 0), f"replica {number}")
        launch = replica_launch(self._origin, number, ports, self._cores[number - 1], self._models())
        if launch.engine == "triton":
            return launch
        return launch.model_copy(update={"ready": f"/v1/models/{self._endpoint.served_name}"})

    def _models(self) -> Path | None:
        """A models.config with the one model, for TF Serving, which loads what its file names; none for Triton."""
        if self._endpoint.engine != "tfserving":
            return None
        file, name = self._workspace.live / "replicas.config", self._endpoint.served_name
        write_text(file, models_config([(name, self._workspace.tfserving_repository / name, 1)]))
        return file

    def _another(self, number: int) -> Replica:
        name, served = f"replica {number}", self._endpoint.served_name
        say(f"starting {name}")
        server = start(lambda: self._launch(number), self._workspace, name, self._version)
        if server.engine == "triton":
            TritonControl(host_port(server.host, server.ports["http"])).load(served)
        insist(recheck(self.at(server), self._workspace, EVERY), name)
        return Replica(number, server, processes=len(model_processes(server)))


@contextmanager
def replicated(endpoint: Endpoint, workspace: Workspace, cores: list[list[int]]) -> Iterator[Replicas]:
    """Replicas of what is behind an endpoint; whatever happens, all are ended. The servers that run stay as they are.

    Raises UsageError where its server is none of which this machine can start more.
    """
    replicas = Replicas(endpoint, workspace, cores)
    with beside(workspace):
        yield replicas
