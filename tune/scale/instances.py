"""Instances of a model within a running Triton, which reloads it with another number of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from contract.config import ModelsFile
from contract.endpoints import Endpoint
from contract.errors import UsageError
from contract.hosts import beyond_loopback
from serving.rolling.reconfiguring import check, reconfigurable
from tune.configuration.climbing import Reloading
from tune.configuration.machine_room import room
from tune.configuration.space import now
from tune.scale.unit import Name, Reading, Subject


class Instances:
    """The `Unit`. ``shared`` says which cores servers and load generator share."""

    name: Name = "instances"
    proxy = ""
    proxy_threads: int | None = None

    def __init__(self, model: Reloading, endpoint: Endpoint, shared: str = "") -> None:
        self.shared = shared
        self._model = model
        self._endpoint = endpoint

    def up(self, number: int) -> Endpoint:
        proven = self._model.apply(self._model.batching.model_copy(update={"instances": number}))
        return next(item for item in proven if item.id == self._endpoint.id)

    def direct(self) -> Endpoint | None:
        return None

    def reading(self) -> Reading:
        return Reading()

    def lost(self) -> str:
        return ""


@contextmanager
def opened(subject: Subject) -> Iterator[Instances]:
    """The unit of an endpoint; its model has the configuration from before again afterwards.

    Raises UsageError where that cannot be changed, or where so many instances do not fit into memory.
    """
    config, endpoint, workspace = subject.config, subject.endpoint, subject.workspace
    check(config, endpoint, workspace)
    model = config.models[endpoint.model]
    around = room(config, endpoint, workspace, now(model.batching, model), subject.memory_mib)
    if refusal := around.memory_refusal(subject.most):
        raise UsageError(f"{refusal}; measure fewer with --instances")
    with reconfigurable(config, endpoint, workspace) as reloaded:
        yield Instances(reloaded, endpoint, shared_cores(config, endpoint))


def shared_cores(config: ModelsFile, endpoint: Endpoint) -> str:
    """Which cores the load generator shares with the servers; empty where [affinity] gives each its own."""
    if beyond_loopback(endpoint.address) or (config.affinity.servers and config.affinity.load):
        return ""
    return f"load generator and servers share this machine's {len(os.sched_getaffinity(0))} cores"
