"""Explicit control of one version of a served model: load and unload on Triton, reload on either engine.

The others stay as they are. What the trees say stays too: a start, a restart, and a load of the whole model bring back
what was unloaded.
"""

from __future__ import annotations

from typing import Any

from contract.endpoints import ServerRecord
from contract.errors import ParityError, UsageError
from contract.workspace import Workspace
from serving.places.turn import turn
from serving.rolling.models import find, on_triton, unseen
from serving.rolling.roll import roller_of
from serving.rolling.version import Version


def load_version(name: str, number: int, workspace: Workspace) -> str:
    """Load one version of a model that is loaded, ask it again, and say how long it took.

    Raises UsageError where it is not laid out, or not as it was proven, ParityError where its answers are wrong: it is
    unloaded again then.
    """
    with turn(workspace, "load"):
        endpoints, server = on_triton(name, workspace)
        version = Version(number, endpoints, workspace)
        roller = _roller(version, server)
        version.insist_on_bytes()
        seconds = roller.load_version(name, number)
        try:
            version.insist_on_answers()
        except ParityError as error:
            if number != version.newest:
                roller.unload_version(name, number)
                raise ParityError(f"{error}; it was unloaded again") from None
            raise
    return f"{version} is loaded and answers rightly, after {seconds:.1f} s; the others are as they were"


def unload_version(name: str, number: int, workspace: Workspace) -> str:
    """Unload one version of a model; requests that name it are refused until it is loaded again.

    Raises UsageError for the newest: endpoints name it, and who names none would get an older one.
    """
    with turn(workspace, "unload"):
        endpoints, server = on_triton(name, workspace)
        version = Version(number, endpoints, workspace)
        roller = _roller(version, server)
        if number == version.newest:
            raise UsageError(
                f"{version} is what its endpoints name, so it is not unloaded by itself; "
                f"'python -m serving unload {name}' unloads all of its versions"
            )
        roller.unload_version(name, number)
    return f"{version} is unloaded; 'python -m serving load {name} --version {number}' brings it back"


def reload_version(name: str, number: int, workspace: Workspace, ours: bool = False) -> str:
    """Load one version once more, from the files as they are, and ask it again; ``ours`` as in `models.reload`.

    Raises UsageError where these are not the bytes that were proven, ServerError where the engine cannot load them
    (the old goes on in both cases), ParityError where the answers are wrong.
    """
    with turn(workspace, "reload"):
        endpoints, server = find(name, workspace)
        version = Version(number, endpoints, workspace)
        roller = _roller(version, server, ours)
        version.insist_on_bytes()
        seconds = roller.renew(name, version.newest, only=number)
        version.insist_on_answers()
    done = f"{version} was loaded once more and answers rightly, after {seconds:.1f} s; the others are as they were"
    return f"{done}; {roller.gap}{unseen(server)}"


def _roller(version: Version, server: ServerRecord, ours: bool = False) -> Any:
    """The roller of the server that has a version.

    Raises UsageError where it is not laid out, or Triton does not hold the model: it would get an older version alone.
    """
    roller = roller_of(server, version.workspace, ours)
    laid_out = roller.laid_out(version.name)
    if version.number not in laid_out:
        raise UsageError(
            f"{version} is not laid out for {server.engine}, which has {', '.join(map(str, laid_out))}; "
            f"models.{version.endpoints[0].model}.{server.engine}.versions says which are"
        )
    if server.engine == "triton" and not roller.ready(version.name, version.newest):
        raise UsageError(
            f"{version.name} is not loaded; 'python -m serving load {version.name}' loads it with all of its versions"
        )
    return roller
