"""python -m serving status: what happened to the servers, which run, who watches them, what can be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract.endpoints import Endpoint, Endpoints, ServerRecord, Servers, Supervisor
from contract.events import Event, read_events
from contract.files import read_model
from contract.workspace import Workspace
from serving import fleet, supervise
from serving.proof import foreign

TOLD = "; what happened is told above"
UNSEEN = ", and nobody saw it go; the same 'make serve' starts all anew"


@dataclass(frozen=True)
class Status:
    """What a workspace knows of its servers now. ``watched_by`` is None where nobody watches them.

    ``endpoints`` can be asked; those that are ``down`` cannot, for their server does not run.
    """

    events: Sequence[Event]
    servers: Sequence[ServerRecord]
    watched_by: Supervisor | None
    endpoints: Sequence[Endpoint]
    down: Sequence[Endpoint]


def read_status(workspace: Workspace) -> Status:
    """What runs now. Servers under `elsewhere` are not looked at: their endpoints count as if they ran."""
    servers = fleet.running(workspace)
    known = read_model(workspace.endpoints, Endpoints, "make serve").endpoints if workspace.endpoints.is_file() else []
    up = {server.engine for server in servers} | {foreign.ENGINE}
    supervisor = read_model(workspace.servers, Servers, "make serve").supervisor if servers else None
    return Status(
        events=read_events(workspace.events),
        servers=servers,
        watched_by=supervisor if supervisor is not None and supervise.watched(supervisor) else None,
        endpoints=[item for item in known if item.engine in up],
        down=[item for item in known if item.engine not in up],
    )


def render_json(status: Status) -> str:
    """For programs: events, servers and the endpoints that can be asked, as in the files below live/."""
    document = {
        "schema_version": 1,
        "events": [event.model_dump(mode="json") for event in status.events],
        "servers": [server.model_dump(mode="json") for server in status.servers],
        "watched_by": status.watched_by.model_dump(mode="json") if status.watched_by else None,
        "endpoints": [endpoint.model_dump(mode="json") for endpoint in status.endpoints],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def render_terminal(status: Status) -> str:
    """For a person: what happened, then what runs."""
    return "\n".join([*_happened(status.events), *_running(status)])


def ready(endpoints: Sequence[Endpoint]) -> Iterator[str]:
    """A line per endpoint that answered its golden requests."""
    for item in endpoints:
        ours = "embedded" if item.engine_kind == "embedded" else f"{item.backend_kind} backend"
        kind = "elsewhere" if item.engine == foreign.ENGINE else ours
        yield (
            f"ready  {item.id:45} {item.address:16} {kind:15} "
            f"max |difference| {item.parity_endpoint.max_abs or 0.0:.1e} over {item.parity_endpoint.requests} requests"
        )


def _happened(events: Sequence[Event]) -> Iterator[str]:
    for event in events:
        yield f"{event.at}  {event.what:9}  {event.detail}"
        if event.last_lines:
            yield event.last_lines


def _running(status: Status) -> Iterator[str]:
    if not status.servers and not status.endpoints:
        yield "nothing runs; 'make serve' starts the servers"
        return
    for server in status.servers:
        pid, container = server.pid, server.container
        where = f"pid {pid}" if pid else f"container {container}" if container else server.host
        ports = ", ".join(f"{purpose} {port}" for purpose, port in server.ports.items())
        yield f"{server.engine} {server.engine_version} ({server.engine_kind}), {where}, {ports}, log {server.log}"
    if status.servers:
        watcher = status.watched_by
        yield f"watched by pid {watcher.pid}, log {watcher.log}" if watcher else "nobody watches them"
    yield from ready(status.endpoints)
    for item in status.down:
        yield f"down   {item.id:45} {item.engine} does not run{TOLD if _told(item.engine, status.events) else UNSEEN}"


def _told(engine: str, events: Sequence[Event]) -> bool:
    """Whether what is known last of a server is that it went; where nobody watched it, nothing is."""
    of_server = [event.what for event in events if (event.engine, event.model) == (engine, None)]
    return of_server[-1:] in (["died"], ["gave up"])
