"""Explicit control of one served model: load and unload on Triton, reload on either engine."""

from __future__ import annotations

from typing import Any

from contract.endpoints import Endpoint, Endpoints, ServerRecord
from contract.errors import ParityError, ServerError, UsageError, nearest
from contract.files import read_model
from contract.workspace import Workspace
from serving import fleet
from serving.places.turn import turn
from serving.rolling.roll import ROLLERS, roller_of
from serving.rolling.version import Version


def load(name: str, workspace: Workspace) -> str:
    """Load a model that is laid out and proven, ask it again, and say how long it took.

    Raises UsageError where any of its versions is not what was proven, ParityError where one answers wrongly: it is
    unloaded again then.
    """
    with turn(workspace, "load"):
        endpoints, server = on_triton(name, workspace)
        roller = roller_of(server, workspace)
        versions = _versions(endpoints, roller, workspace)
        seconds = roller.load(name)
        try:
            _insist_on_answers(versions, server)
        except ParityError as error:
            roller.unload(name)
            raise ParityError(f"{error}; it was unloaded again") from None
    return f"{name} version {endpoints[0].version} is loaded and answers rightly, after {seconds:.1f} s"


def unload(name: str, workspace: Workspace) -> str:
    """Unload a model; its endpoints refuse requests until it is loaded again."""
    with turn(workspace, "unload"):
        roller_of(on_triton(name, workspace)[1], workspace).unload(name)
    return f"{name} is unloaded; 'python -m serving load {name}' brings it back"


def reload(name: str, workspace: Workspace, ours: bool = False) -> str:
    """Load a model once more while what is loaded goes on answering, from the files as they are; ask it again.

    ``ours`` is somebody's word that a TF Serving at an address has no models but ours.
    Raises UsageError where these are not the bytes that were proven, of any of its versions, ServerError where the
    engine cannot load them (the old goes on in both cases), ParityError where the answers are wrong.
    """
    with turn(workspace, "reload"):
        endpoints, server = find(name, workspace)
        roller = roller_of(server, workspace, ours)
        versions = _versions(endpoints, roller, workspace)
        seconds = roller.renew(name, endpoints[0].version)
        _insist_on_answers(versions, server)
    done = f"{name} version {endpoints[0].version} was loaded once more and answers rightly, after {seconds:.1f} s"
    return f"{done}; {roller.gap}{unseen(server)}"


def unseen(server: ServerRecord) -> str:
    """What has to hold, and cannot be seen, of a server at an address; empty for one that was started here."""
    if server.place != "url":
        return ""
    there = f"the server at {server.host} reads this workspace's model_repository/"
    return f"; that holds if {there}, which cannot be seen from here"


def _versions(endpoints: list[Endpoint], roller: Any, workspace: Workspace) -> list[Version]:
    """All versions that the engine would load, the newest first. Raises UsageError where one is not what was proven."""
    newest = endpoints[0].version
    older = sorted(set(roller.laid_out(endpoints[0].served_name)) - {newest}, reverse=True)
    versions = [Version(number, endpoints, workspace) for number in (newest, *older)]
    for version in versions:
        version.insist_on_bytes()
    return versions


def _insist_on_answers(versions: list[Version], server: ServerRecord) -> None:
    """Raises ParityError where one answers wrongly. A server at an address may have its own choice of older ones."""
    for version in versions[:1] if server.place == "url" else versions:
        version.insist_on_answers()


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


def on_triton(name: str, workspace: Workspace) -> tuple[list[Endpoint], ServerRecord]:
    """As `find`, of a model on Triton. Raises UsageError where another engine serves it."""
    endpoints, server = find(name, workspace)
    if server.engine != "triton":
        raise UsageError(f"{name} is on {server.engine}, which loads what lies in its folders; it can only be reloaded")
    return endpoints, server
