"""Explicit control of one served model: load and unload on Triton, reload on either engine."""

from __future__ import annotations

from pathlib import Path

from contract.endpoints import Endpoint, Endpoints, ServerRecord
from contract.errors import ParityError, ServerError, UsageError, nearest
from contract.files import read_model, sha256_tree
from contract.table import choose
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving import fleet
from serving.layout.triton_config import BACKENDS
from serving.places.ports import host_port
from serving.places.turn import turn
from serving.proof.rechecking import recheck
from serving.rolling.roll import ROLLERS

ELSEWHERE = "that holds if the server at {} reads this workspace's model_repository/, which cannot be seen from here"


def load(name: str, workspace: Workspace) -> str:
    """Load a model that is laid out and proven, ask it again, and say how long it took."""
    with turn(workspace, "load"):
        endpoints, control = insist_on_triton(name, workspace)
        seconds = control.load(name)
        try:
            _insist_on_answers(endpoints, workspace)
        except ParityError as error:
            control.unload(name)
            raise ParityError(f"{error}; it was unloaded again") from None
    return f"{name} version {endpoints[0].version} is loaded and answers rightly, after {seconds:.1f} s"


def unload(name: str, workspace: Workspace) -> str:
    """Unload a model; its endpoints refuse requests until it is loaded again."""
    with turn(workspace, "unload"):
        insist_on_triton(name, workspace)[1].unload(name)
    return f"{name} is unloaded; 'python -m serving load {name}' brings it back"


def reload(name: str, workspace: Workspace, ours: bool = False) -> str:
    """Load a model once more while what is loaded goes on answering, from the files as they are; ask it again.

    ``ours`` is somebody's word that a TF Serving at an address has no models but ours.
    Raises UsageError where these are not the bytes that were proven, ServerError where the engine cannot load them
    (the old goes on in both cases), ParityError where the answers are wrong.
    """
    with turn(workspace, "reload"):
        endpoints, server = find(name, workspace)
        version = endpoints[0].version
        insist_on_bytes(endpoints[0], workspace, version, endpoints[0].artifact_sha256)
        roller = choose(ROLLERS, server.engine, "engine")(server, workspace, ours)
        seconds = roller.renew(name, version)
        _insist_on_answers(endpoints, workspace)
    unseen = f"; {ELSEWHERE.format(server.host)}" if server.place == "url" else ""
    done = f"{name} version {version} was loaded once more and answers rightly, after {seconds:.1f} s"
    return f"{done}; {roller.gap}{unseen}"


def _insist_on_answers(endpoints: list[Endpoint], workspace: Workspace) -> None:
    for endpoint in endpoints:
        parity = recheck(endpoint, workspace)
        if not parity.passed:
            raise ParityError(f"{endpoint.id} answers wrongly: {'; '.join(parity.reasons)}")


def insist_on_bytes(endpoint: Endpoint, workspace: Workspace, version: int, sha256: str) -> None:
    """Raise UsageError where what the engine would load is not what was proven: the old would be gone by then."""
    file = _laid_out(endpoint, workspace, version)
    if not file.exists() or sha256_tree(file) != sha256:
        raise UsageError(
            f"{file} is not the export that was proven, so it is not loaded and what is loaded goes on; "
            "a newer export comes with 'make roll', and 'make stop', then 'make serve' lays this one out again"
        )


def _laid_out(endpoint: Endpoint, workspace: Workspace, version: int) -> Path:
    if endpoint.engine == "tfserving":
        return workspace.tfserving_repository / endpoint.served_name / str(version)
    folder = workspace.triton_repository / endpoint.served_name / str(version)
    return folder / BACKENDS[endpoint.format].filename


def find(name: str, workspace: Workspace) -> tuple[list[Endpoint], ServerRecord]:
    """The endpoints of a served model of ours, and the server that has it.

    Raises UsageError where nothing serves it, ServerError where its server does not run.
    """
    servers = {server.engine: server for server in fleet.running(workspace)}
    known = read_model(workspace.endpoints, Endpoints, "make serve").endpoints
    ours = [item for item in known if item.engine in ROLLERS]
    endpoints = [item for item in ours if item.served_name == name]
    if not endpoints:
        names = sorted({item.served_name for item in ours})
        raise UsageError(f"nothing serves '{name}'{nearest(name, names)}; served are {', '.join(names) or 'none'}")
    engine = endpoints[0].engine
    if engine not in servers:
        raise ServerError(f"{engine}, which serves {name}, does not run; 'make serve' starts it")
    return endpoints, servers[engine]


def insist_on_triton(name: str, workspace: Workspace) -> tuple[list[Endpoint], TritonControl]:
    """The endpoints of a model on Triton, and its control. Raises UsageError where another engine serves it."""
    endpoints, server = find(name, workspace)
    if server.engine != "triton":
        raise UsageError(f"{name} is on {server.engine}, which loads what lies in its folders; it can only be reloaded")
    return endpoints, TritonControl(host_port(server.host, server.ports["http"]))
