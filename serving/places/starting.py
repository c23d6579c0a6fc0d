"""Start one server and wait until it is ready, on other ports again where one was taken meanwhile."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.cli import uninterrupted
from contract.endpoints import ServerRecord, Servers
from contract.errors import ServerError
from contract.files import read_model, write_json
from contract.progress import say
from contract.table import choose
from contract.workspace import Workspace
from serving.places.launch import Launch
from serving.places.ports import host_port
from serving.places.process import put_back_previous

MOST_STARTS = 3
# In the last lines of a server, and in Docker's own refusal.
PORT_TAKEN = re.compile("already in use|cannot listen|port is already allocated", re.IGNORECASE)
PLACES = {"process": "serving.places.process", "docker": "serving.places.docker", "url": "serving.places.url"}

Version = Callable[[ServerRecord], str]


def place_named(name: str) -> Any:
    """The module that runs, watches and stops servers in one kind of place."""
    return choose(PLACES, name, "place")


def place_of(server: ServerRecord) -> Any:
    """The module that runs, watches and stops this server."""
    return place_named(server.place)


def launch_file(workspace: Workspace, engine: str) -> Path:
    """Where the Launch of a running server is kept, so that it can be started again as it was."""
    return workspace.live / "launches" / f"{engine}.json"


def start(make: Callable[[], Launch], place: str, workspace: Workspace, version: Version) -> tuple[ServerRecord, float]:
    """Start one server, on other ports again when one was taken between choosing and starting.

    Returns it with the seconds until it was ready. Raises ServerError with its last lines, or Docker's words.
    """
    attempt = 1
    while True:
        launch = make()
        try:
            server, seconds = start_once(launch, place, workspace)
        except ServerError as error:
            if not PORT_TAKEN.search(str(error)):
                raise
            if attempt == MOST_STARTS:
                raise ServerError(
                    f"{launch.engine} lost one of its ports {MOST_STARTS} times, each time to somebody who took it "
                    "between its choice and the start: 'ss -ltnp' shows who listens; end what keeps taking ports, then "
                    f"start again. The last time, {error}"
                ) from None
            attempt += 1
            put_back_previous(launch.log)
            say(f"{launch.engine}: one of its ports was taken meanwhile; trying others")
            continue
        server = server.model_copy(update={"engine_version": version(server)})
        remember(server, workspace)
        write_json(launch_file(workspace, launch.engine), launch)
        return server, seconds


def start_once(launch: Launch, place_name: str, workspace: Workspace) -> tuple[ServerRecord, float]:
    """Start one server, remember it, wait until it is ready. Returns it with the seconds that took."""
    place = place_named(place_name)
    verb = "asking" if place_name == "url" else "starting"
    say(f"{verb} {launch.engine} ({launch.engine_kind}) on {launch.host}, ports {_ports(launch.ports)}")
    if launch.warning:
        say(f"warning: {launch.warning}")
    started = time.monotonic()
    with uninterrupted():
        server: ServerRecord = place.start(launch)
        try:
            remember(server, workspace)
        except OSError:  # a full disk: what nobody remembers nobody would stop
            place.stop(server)
            raise
    say(f"the log of {launch.engine}: {server.log}")  # where the place keeps it
    # Triton answers on one port before it fails to open the next.
    while not (_answers(launch) and place.alive(server)) or place.lost_a_port(server):
        if place_name != "url" and not place.alive(server):
            raise ServerError(f"{launch.engine} died while starting; its last lines:\n{place.last_lines(server)}")
        if time.monotonic() - started > launch.timeout_s:
            where = host_port(launch.host, launch.ports[launch.ready_port])
            raise ServerError(
                f"{launch.engine} was not ready after {launch.timeout_s:.0f} s on {where}; "
                f"its last lines:\n{place.last_lines(server)}"
            )
        time.sleep(0.1)
    return server, round(time.monotonic() - started, 2)


def remember(server: ServerRecord, workspace: Workspace) -> None:
    """Write a server down (again), so that whatever happens next it can be found and stopped."""
    known = read_model(workspace.servers, Servers, "make serve") if workspace.servers.is_file() else None
    others = [item for item in known.servers if item.engine != server.engine] if known else []
    supervisor = known.supervisor if known else None
    write_json(workspace.servers, Servers(schema_version=1, servers=[*others, server], supervisor=supervisor))


def _answers(launch: Launch) -> bool:
    connection = http.client.HTTPConnection(launch.host, launch.ports[launch.ready_port], timeout=5)
    try:
        connection.request("GET", launch.ready)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _ports(ports: dict[str, int]) -> str:
    return ", ".join(f"{purpose} {port}" for purpose, port in ports.items())
