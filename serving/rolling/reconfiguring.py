"""Run one model of a running Triton under other configurations for a while, and leave it as it was.

The model is reloaded, not the server, and every configuration is proven like a first one before anybody measures it.
Meanwhile live/endpoints.json says what really runs, with a fingerprint that no models.toml has: should the process be
killed, the next `make serve` starts anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.batching import Batching
from contract.cli import uninterrupted
from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints, ServerRecord, Servers
from contract.errors import LoadproofError, UsageError
from contract.files import read_model, write_json, write_text
from contract.progress import say
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving import fleet, supervise
from serving.engines.model_processes import model_processes
from serving.layout.repository import Served, plan, write_triton_config
from serving.places.ports import host_port
from serving.places.turn import turn
from serving.proof.proving import insist, prove
from serving.proof.rechecking import recheck

CONFIG = "config.pbtxt"
SETTLE_S = 10.0  # at most; where several GPUs share the instances nobody knows how many processes there are
UNDER_TRIAL = "under trial"  # instead of a fingerprint, which is hexadecimal


class Reconfigured:
    """One served model whose configuration is tried out. `reconfigurable` makes it and puts everything back."""

    def __init__(self, config: ModelsFile, item: Served, server: ServerRecord, workspace: Workspace) -> None:
        self.batching = item.model.batching  # as models.toml says it
        self._item = item
        self._config = config
        self._server = server
        self._workspace = workspace
        self._folder = workspace.triton_repository / item.name
        self._control = TritonControl(host_port(server.host, server.ports["http"]))
        self._before = (self._folder / CONFIG).read_text(encoding="utf-8")
        self._known = read_model(workspace.endpoints, Endpoints, "make serve")
        self._loaded = self._control.ready(item.name)

    def apply(self, batching: Batching) -> list[Endpoint]:
        """Load the model with another configuration, prove it, and return its endpoints, one per protocol.

        Raises ServerError where Triton does not load it, ParityError where it answers wrongly.
        """
        model = self._item.model.model_copy(update={"batching": batching})
        changed = replace(self._item, model=model)
        write_triton_config(changed, self._folder)
        seconds = round(self._control.load(changed.name), 2)
        self._settle(batching)
        proven = prove(self._config, changed, self._server, seconds, self._workspace)
        by_id = {endpoint.id: endpoint for endpoint in proven}
        endpoints = [by_id.get(endpoint.id, endpoint) for endpoint in self._known.endpoints]
        update = {"endpoints": endpoints, "fingerprint": UNDER_TRIAL}
        write_json(self._workspace.endpoints, self._known.model_copy(update=update))
        return proven

    def restore(self) -> None:
        """Bring back the configuration from before. Raises LoadproofError where the model does not take it."""
        write_text(self._folder / CONFIG, self._before)
        if not self._loaded:
            self._control.unload(self._item.name)
        else:
            self._control.load(self._item.name)
            self._settle(self.batching)
            for endpoint in self._known.endpoints:
                if endpoint.engine == "triton" and endpoint.served_name == self._item.name:
                    insist(recheck(endpoint, self._workspace), f"{endpoint.id}, as it was before,")
        write_json(self._workspace.endpoints, self._known)

    def _settle(self, batching: Batching) -> None:
        """Wait until the processes of the configuration before are gone: they end some time after the load has.

        They would cost the new ones their cores.
        """
        most = batching.instances * max(1, len(self._item.model.triton.gpus))
        until = time.monotonic() + SETTLE_S
        while self._processes() > most and time.monotonic() < until:
            time.sleep(0.05)

    def _processes(self) -> int:
        of_it = (self._item.name, self._item.version)
        return sum(model == of_it for model in model_processes(self._server).values())


@contextmanager
def reconfigurable(config: ModelsFile, endpoint: Endpoint, workspace: Workspace) -> Iterator[Reconfigured]:
    """Try configurations of the model behind an endpoint; as it was again afterwards, whatever happens.

    Raises UsageError where its configuration cannot be changed in this way, and where another command is changing the
    servers.
    """
    with turn(workspace, "tune"):
        item, server = _found(config, endpoint, workspace)
        model = Reconfigured(config, item, server, workspace)
        with _unwatched(workspace):
            try:
                yield model
            finally:
                with uninterrupted():
                    try:
                        model.restore()
                    except LoadproofError as error:
                        say(f"{item.name} could not be brought back as it was: {error}; 'make serve' starts it anew")


def check(config: ModelsFile, endpoint: Endpoint, workspace: Workspace) -> None:
    """Raise UsageError where the configuration of an endpoint's model cannot be changed."""
    _found(config, endpoint, workspace)


@contextmanager
def _unwatched(workspace: Workspace) -> Iterator[None]:
    """A reload ends processes of a model, which the supervisor would take for their death and reload it again."""
    supervisor = read_model(workspace.servers, Servers, "make serve").supervisor
    watched = supervise.watched(supervisor)
    try:
        supervise.stop(supervisor)
        yield
    finally:
        with uninterrupted():
            if watched:
                fleet.watch(workspace)


def _found(config: ModelsFile, endpoint: Endpoint, workspace: Workspace) -> tuple[Served, ServerRecord]:
    """What is served behind an endpoint, as models.toml says it, and by whom."""
    server = next((found for found in fleet.running(workspace) if found.engine == endpoint.engine), None)
    if endpoint.engine != "triton" or server is None or server.place != "process":
        where = f"by {endpoint.engine} ({server.place if server else 'not running'})"
        raise UsageError(
            f"{endpoint.id} is served {where}: only a Triton that 'make serve' started as a process reloads a model "
            "with another configuration"
        )
    if endpoint.model not in config.models:
        raise UsageError(f"models.toml has no model '{endpoint.model}' any more; run 'make serve' first")
    alone = config.model_copy(update={"models": {endpoint.model: config.models[endpoint.model]}})
    served, _ = plan(alone, "all", workspace)
    item = next((found for found in served if found.name == endpoint.served_name), None)
    if item is None or item.record.sha256 != endpoint.artifact_sha256:
        raise UsageError(f"{endpoint.served_name} has a newer export than the one that runs; run 'make serve' first")
    if _text(item) != (workspace.triton_repository / item.name / CONFIG).read_text(encoding="utf-8"):
        raise UsageError(
            f"{endpoint.served_name} runs with another configuration than models.toml says; run 'make serve' first"
        )
    return item, server


def _text(item: Served) -> str:
    """config.pbtxt as it would be laid out now."""
    with TemporaryDirectory() as folder:
        write_triton_config(item, Path(folder))
        return (Path(folder) / CONFIG).read_text(encoding="utf-8")
