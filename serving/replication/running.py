"""Run Launches beside the servers of a workspace, found by `make stop` from their first moment on.

Each is written to live/servers.json as soon as it runs. Supervision has to rest meanwhile: it would take the end of a
replica for a death, and it knows one server per engine.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from contract.cli import uninterrupted
from contract.endpoints import ServerRecord, Servers
from contract.errors import ServerError
from contract.files import read_model, write_json
from contract.progress import say
from contract.workspace import Workspace
from serving import fleet, supervise
from serving.places import process as place_process
from serving.places.launch import Launch
from serving.places.ports import host_port
from serving.places.starting import MOST_STARTS, PORT_TAKEN
from serving.places.turn import turn
from serving.replication.apart import start_apart

LOOK_S = 0.1


@contextmanager
def beside(workspace: Workspace) -> Iterator[None]:
    """Let supervision rest in the block, and end what was started in it, whatever happens: then all is as it was.

    Raises UsageError where another command is changing the servers.
    """
    with turn(workspace, "tune"):
        known = read_model(workspace.servers, Servers, "make serve")
        watched = supervise.watched(known.supervisor)
        try:
            supervise.stop(known.supervisor)
            yield
        finally:
            with uninterrupted():
                before = {_identity(server) for server in known.servers}
                _end([server for server in _servers(workspace) if _identity(server) not in before], workspace)
                if watched and workspace.servers.is_file():
                    fleet.watch(workspace)


def start(make: Callable[[], Launch], workspace: Workspace, name: str, version: str = "unknown") -> ServerRecord:
    """Start one and wait until it is ready; on other ports again where one of them was taken meanwhile.

    ``make`` chooses the ports. Raises ServerError with its last lines where it does not come up.
    """
    attempt = 1
    while True:
        launch = make()
        with uninterrupted():
            server = start_apart(launch).model_copy(update={"engine_version": version})
            _change(workspace, add=[server])
        try:
            _wait_ready(launch, server, name)
            return server
        except ServerError as error:
            stop_all([server], workspace)
            if attempt == MOST_STARTS or not PORT_TAKEN.search(str(error)):
                raise
            attempt += 1
            say(f"{name}: one of its ports was taken meanwhile; trying others")


def _wait_ready(launch: Launch, server: ServerRecord, name: str) -> None:
    until = time.monotonic() + launch.timeout_s
    while not _answers(launch):
        if not place_process.alive(server):
            raise ServerError(f"{name} died while starting; its last lines:\n{place_process.last_lines(server)}")
        if time.monotonic() > until:
            where = host_port(launch.host, launch.ports[launch.ready_port])
            raise ServerError(
                f"{name} was not ready after {launch.timeout_s:.0f} s on {where}; "
                f"its last lines:\n{place_process.last_lines(server)}"
            )
        time.sleep(LOOK_S)


def stop_all(servers: Sequence[ServerRecord], workspace: Workspace) -> None:
    """Stop them, all at once, and forget them; Ctrl-C waits until that is done."""
    with uninterrupted():
        _end(servers, workspace)


def _end(servers: Sequence[ServerRecord], workspace: Workspace) -> None:
    if servers:
        with ThreadPoolExecutor(max_workers=len(servers)) as pool:
            list(pool.map(place_process.stop, servers))
    _change(workspace, remove=servers)


def _identity(server: ServerRecord) -> tuple[int | None, float | None, str | None]:
    return server.pid, server.pid_started, server.container


def _servers(workspace: Workspace) -> list[ServerRecord]:
    return read_model(workspace.servers, Servers, "make serve").servers if workspace.servers.is_file() else []


def _change(workspace: Workspace, add: Sequence[ServerRecord] = (), remove: Sequence[ServerRecord] = ()) -> None:
    if not workspace.servers.is_file():
        return  # somebody has removed live/: there is nothing to keep up to date ('make stop' waits for the turn)
    known = read_model(workspace.servers, Servers, "make serve")
    gone = {_identity(server) for server in remove}
    kept = [server for server in known.servers if _identity(server) not in gone]
    write_json(workspace.servers, known.model_copy(update={"servers": [*kept, *add]}))


def _answers(launch: Launch) -> bool:
    connection = http.client.HTTPConnection(launch.host, launch.ports[launch.ready_port], timeout=5)
    try:
        connection.request("GET", launch.ready)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
