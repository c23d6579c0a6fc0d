"""Bring the servers up, tell how they are, take them down.

Whatever was started is written to live/servers.json at once, so that `make stop` finds it whatever happens next; when
starting fails or is interrupted, everything that was started is stopped again.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from contract.cli import uninterrupted
from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints, ServerRecord, Servers
from contract.errors import ServerError
from contract.files import read_model, write_json
from contract.machine import this_machine
from contract.progress import say, track
from contract.table import choose
from contract.workspace import Workspace
from serving import tensorflow_serving, triton
from serving.launch import Launch
from serving.ports import LOOPBACK
from serving.proving import prove
from serving.repository import Served

MOST_STARTS = 3
MOST_RESIDENT = 12  # processes of about 0.5 GiB each
PORT_TAKEN = re.compile("already in use|cannot listen", re.IGNORECASE)  # in the last lines of a server
PLACES = {"process": "serving.place_process", "docker": "serving.place_docker"}


def place_of(server: ServerRecord) -> Any:
    """The module that runs, watches and stops this server."""
    return choose(PLACES, server.place, "place")


def running(workspace: Workspace) -> list[ServerRecord]:
    """The servers that we started and that still run."""
    if not workspace.servers.is_file():
        return []
    record = read_model(workspace.servers, Servers, "make serve")
    return [server for server in record.servers if place_of(server).alive(server)]


def stop(workspace: Workspace) -> list[ServerRecord]:
    """Stop everything that we started and forget it. Returns what was still running."""
    if not workspace.servers.is_file():
        workspace.endpoints.unlink(missing_ok=True)
        return []
    record = read_model(workspace.servers, Servers, "make serve")
    were_running = running(workspace)
    workspace.endpoints.unlink(missing_ok=True)
    failures: list[str] = []
    left: list[ServerRecord] = []
    for server in record.servers:
        try:
            place_of(server).stop(server)
        except ServerError as error:
            failures.append(str(error))
            left.append(server)
    if left:  # so that the next 'make stop' tries again
        write_json(workspace.servers, Servers(schema_version=1, servers=left))
        raise ServerError("; ".join(failures))
    workspace.servers.unlink()
    return were_running


def up(
    config: ModelsFile,
    served: list[Served],
    unserved: dict[str, str],
    workspace: Workspace,
    tfserving: str,
    one_at_a_time: bool = False,
) -> Endpoints:
    """Start the servers, load the models, prove every endpoint, and write live/endpoints.json last."""
    with _all_or_nothing(workspace):
        ready_s: dict[str, float] = {}
        servers: dict[str, ServerRecord] = {}
        on_triton = [item for item in served if item.engine == "triton"]
        on_tfserving = [item for item in served if item.engine == "tfserving"]
        if on_tfserving:
            flavour = tensorflow_serving.choose_flavour(tfserving)
            threads = on_tfserving[0].model.batching.threads
            version = tensorflow_serving.engine_version(flavour)

            def tfserving_launch() -> Launch:
                launch = tensorflow_serving.launch(workspace, flavour, threads)
                return replace(launch, ready=f"{launch.ready}{on_tfserving[0].name}")

            place = "docker" if flavour == "docker" else "process"
            servers["tfserving"], seconds = _start(tfserving_launch, place, workspace, lambda ports: version)
            ready_s |= {item.name: seconds for item in on_tfserving}
        if on_triton:
            servers["triton"], _ = _start(lambda: triton.launch(workspace), "process", workspace, triton.engine_version)
        endpoints: list[Endpoint] = []
        for items in _loads(served, one_at_a_time):
            for item in track([item for item in items if item.engine == "triton"], "load on Triton", "model"):
                ready_s[item.name] = _load(item, servers["triton"])
            endpoints += _prove(config, items, servers, ready_s, workspace)
            if one_at_a_time:
                _unload(items, servers)
        record = Endpoints(
            schema_version=1,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=this_machine(),
            target=config.target,
            fingerprint=fingerprint(config, served, tfserving),
            unserved=unserved,
            servers=list(servers.values()),
            endpoints=endpoints,
            resident=[f"{item.name} on {item.engine}" for item in served],
            one_at_a_time=one_at_a_time,
        )
        write_json(workspace.endpoints, record)
    return record


def too_many(served: list[Served]) -> bool:
    """Whether Triton could not hold all of these: each instance of a python-based backend is a process of its own."""
    instances = sum(item.model.batching.instances for item in served if item.engine == "triton")
    return instances > MOST_RESIDENT


def _loads(served: list[Served], one_at_a_time: bool) -> list[list[Served]]:
    """What is in memory together: everything, or the formats of one model."""
    if not one_at_a_time:
        return [served]
    return [
        [item for item in served if item.model_name == name] for name in dict.fromkeys(i.model_name for i in served)
    ]


def _unload(items: list[Served], servers: dict[str, ServerRecord]) -> None:
    for item in items:
        if item.engine == "triton":
            triton.unload(item.name, servers["triton"].ports)


def fingerprint(config: ModelsFile, served: list[Served], tfserving: str) -> str:
    """SHA-256 over what is served and how."""
    facts = [
        [item.name, item.engine, item.version, item.record.sha256, item.model.model_dump(mode="json")]
        for item in served
    ]
    return hashlib.sha256(json.dumps([config.target, tfserving, facts], sort_keys=True).encode()).hexdigest()


@contextmanager
def _all_or_nothing(workspace: Workspace) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop(workspace)
        raise


def _start(
    make: Callable[[], Launch], place_name: str, workspace: Workspace, version: Callable[[dict[str, int]], str]
) -> tuple[ServerRecord, float]:
    """Start one server, on other ports again when one was taken between choosing and starting."""
    place = choose(PLACES, place_name, "place")
    attempt = 1
    while True:
        launch = make()
        try:
            server, seconds = _start_once(launch, place, workspace)
        except ServerError as error:
            if attempt == MOST_STARTS or not PORT_TAKEN.search(str(error)):
                raise
            attempt += 1
            say(f"{launch.engine}: one of its ports was taken meanwhile; trying others")
            continue
        server = server.model_copy(update={"engine_version": version(launch.ports)})
        _remember(server, workspace)
        return server, seconds


def _start_once(launch: Launch, place: Any, workspace: Workspace) -> tuple[ServerRecord, float]:
    """Start one server, remember it, wait until it is ready. Returns it with the seconds that took."""
    say(
        f"starting {launch.engine} ({launch.engine_kind}) on {LOOPBACK}, "
        f"ports {_ports(launch.ports)}; log: {launch.log}"
    )
    if launch.warning:
        say(f"warning: {launch.warning}")
    started = time.monotonic()
    with uninterrupted():
        server = place.start(launch)
        _remember(server, workspace)
    while not (_answers(launch) and place.alive(server)):
        if not place.alive(server):
            raise ServerError(f"{launch.engine} died while starting; its last lines:\n{place.last_lines(server)}")
        if time.monotonic() - started > launch.timeout_s:
            raise ServerError(
                f"{launch.engine} was not ready after {launch.timeout_s:.0f} s; "
                f"its last lines:\n{place.last_lines(server)}"
            )
        time.sleep(0.1)
    return server, round(time.monotonic() - started, 2)


def _remember(server: ServerRecord, workspace: Workspace) -> None:
    known = read_model(workspace.servers, Servers, "make serve").servers if workspace.servers.is_file() else []
    others = [item for item in known if item.engine != server.engine]
    write_json(workspace.servers, Servers(schema_version=1, servers=[*others, server]))


def _answers(launch: Launch) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, launch.ports[launch.ready_port], timeout=5)
    try:
        connection.request("GET", launch.ready)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _load(item: Served, server: ServerRecord) -> float:
    try:
        return round(triton.load(item.name, server.ports), 2)
    except ServerError as error:
        raise ServerError(f"{error}; the server's last lines:\n{place_of(server).last_lines(server)}") from None


def _prove(
    config: ModelsFile,
    items: list[Served],
    servers: dict[str, ServerRecord],
    ready_s: dict[str, float],
    workspace: Workspace,
) -> list[Endpoint]:
    endpoints: list[Endpoint] = []
    for item in track(items, "prove", "model"):
        server = servers[item.engine]
        try:
            endpoints += prove(config, item, server, ready_s[item.name], workspace)
        except ServerError as error:
            place = place_of(server)
            lines = "" if place.alive(server) else f"; the server died:\n{place.last_lines(server)}"
            raise ServerError(f"{error}{lines}") from None
    return endpoints


def _ports(ports: dict[str, int]) -> str:
    return ", ".join(f"{purpose} {port}" for purpose, port in ports.items())
