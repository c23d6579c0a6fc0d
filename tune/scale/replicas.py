"""Replicas of a server on this machine, behind HAProxy, each on cores of its own where there are enough."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

from contract.endpoints import Endpoint, ServerRecord
from contract.errors import UsageError
from loadtest.watching import counters
from serving.replication import proxy
from serving.replication.allotment import Allotment, allot
from serving.replication.fronting import Front, How, fronted
from serving.replication.origin import replica_mib, server_of
from serving.replication.proxy_config import BALANCES
from serving.replication.replicas import Replicas, replicated
from tune.configuration.machine_room import MIB, SPARE
from tune.scale.consumption import Consumption
from tune.scale.unit import Name, Reading, Subject


class LocalReplicas:
    """The `Unit`. Replicas are added and stay; the proxy is another one for every number of them."""

    name: Name = "replicas"

    def __init__(self, subject: Subject, replicas: Replicas, fronts: ExitStack, how: How, cores: Allotment) -> None:
        threads = f"{how.threads} thread{'s' if how.threads > 1 else ''}"
        version = proxy.version(proxy.find())
        self.proxy = f"HAProxy {version} with {threads}, which sends every request {BALANCES[how.balance]}"
        self.proxy_threads: int | None = how.threads
        self.shared = cores.shared
        self._subject = subject
        self._replicas = replicas
        self._fronts = fronts
        self._how = how
        self._cores = cores
        self._front: Front | None = None
        self._servers: list[ServerRecord] = []
        self._consumption = Consumption()

    def up(self, number: int) -> Endpoint:
        self._without_proxy(number)
        front = fronted(self._subject.endpoint, self._servers, self._subject.workspace, self._how)
        self._front = self._fronts.enter_context(front)
        return self._described(self._front.endpoint, number, self.proxy)

    def direct(self) -> Endpoint:
        self._without_proxy(1)
        return self._described(self._replicas.at(self._servers[0]), 1, "none")

    def reading(self) -> Reading:
        counted = [counters.read(self._replicas.at(server), server.ports) for server in self._servers]
        if any(each is None for each in counted):  # one is gone: `lost` says so
            return Reading()
        answered = tuple(each.success for each in counted if each is not None)
        proxy_s = self._front.cpu_s() if self._front else None
        return Reading(answered, proxy_s, self._consumption.read(self._servers))

    def lost(self) -> str:
        return ", ".join(filter(None, [self._replicas.lost(), self._front.lost() if self._front else ""]))

    def _without_proxy(self, number: int) -> None:
        self._fronts.close()
        self._front = None
        self._servers = self._replicas.bring_up(number)

    def _described(self, endpoint: Endpoint, number: int, spread_by: str) -> Endpoint:
        """With the conditions that replicas add to those of the server."""
        own = {", ".join(map(str, cores)) or "all" for cores in self._cores.replicas[:number]}
        added = {"replicas": str(number), "proxy": spread_by, "cores": "; ".join(sorted(own))}
        return endpoint.model_copy(update={"conditions": endpoint.conditions | added})


@contextmanager
def opened(subject: Subject) -> Iterator[LocalReplicas]:
    """The unit of an endpoint; every replica and the proxy are ended afterwards. The server that runs stays.

    Raises UsageError where this machine cannot start more of its server, has no HAProxy, or too little memory.
    """
    endpoint, workspace = subject.endpoint, subject.workspace
    needed = replica_mib(endpoint, server_of(endpoint, workspace))
    available = subject.memory_mib or psutil.virtual_memory().available / MIB * SPARE
    if refusal := memory_refusal(subject.most, needed, available):
        raise UsageError(refusal)
    machine = len(os.sched_getaffinity(0))
    cores = allot(subject.config.affinity, subject.most, subject.proxy_threads, machine)
    how = How(subject.balance, subject.proxy_threads, tuple(cores.proxy))
    with replicated(endpoint, workspace, cores.replicas) as replicas, ExitStack() as fronts:
        yield LocalReplicas(subject, replicas, fronts, how, cores)


def memory_refusal(most: int, each_mib: float, available_mib: float) -> str:
    """Why there is no memory for so many replicas; empty where there is."""
    needed = most * each_mib
    if needed <= available_mib:
        return ""
    return f"{most} replicas need {needed:.0f} MiB, {available_mib:.0f} are there; measure fewer with --replicas"
