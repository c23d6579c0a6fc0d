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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from contract.cli import uninterrupted
from contract.config import ModelsFile
from contract.endpoints import Configuration, Endpoint, Endpoints, Protocol, ServerRecord, Servers
from contract.errors import LoadproofError, ParityError, ServerError
from contract.files import read_model, write_json
from contract.golden import read_examples
from contract.machine import this_machine
from contract.progress import say, track
from contract.table import choose
from contract.workspace import Workspace
from serving import tensorflow_serving, triton
from serving.device import device
from serving.launch import Launch
from serving.payloads import PROTOCOLS, folder_name, write_payloads
from serving.ports import LOOPBACK
from serving.probe import probe
from serving.releases import stand_in_for
from serving.repository import Served

MOST_STARTS = 3
PORT_TAKEN = re.compile("already in use|cannot listen", re.IGNORECASE)  # in the last lines of a server
PLACES = {"process": "serving.place_process", "docker": "serving.place_docker"}


@dataclass(frozen=True)
class Target:
    """One (served model, protocol) to prove."""

    served: Served
    protocol: Protocol

    def __str__(self) -> str:
        return f"{self.served.name} on {self.served.engine} over {self.protocol}"


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
    config: ModelsFile, served: list[Served], unserved: dict[str, str], workspace: Workspace, tfserving: str
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
            for item in track(on_triton, "load on Triton", "model"):
                ready_s[item.name] = _load(item, servers["triton"])
        endpoints = _prove(config, served, servers, ready_s, workspace)
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
        )
        write_json(workspace.endpoints, record)
    return record


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
    served: list[Served],
    servers: dict[str, ServerRecord],
    ready_s: dict[str, float],
    workspace: Workspace,
) -> list[Endpoint]:
    targets = [Target(item, protocol) for item in served for protocol in PROTOCOLS[item.engine]]
    endpoints: list[Endpoint] = []
    where = device()
    for target in track(targets, "prove endpoints", "endpoint"):
        item, server = target.served, servers[target.served.engine]
        examples = read_examples(item.golden)
        index = write_payloads(item, target.protocol, examples, workspace.live)
        folder = workspace.live / folder_name(item, target.protocol)
        address = f"{LOOPBACK}:{server.ports[target.protocol]}"
        try:
            probed = probe(item, index, folder, address, examples)
        except ServerError as error:
            place = place_of(server)
            lines = "" if place.alive(server) else f"; the server died:\n{place.last_lines(server)}"
            raise ServerError(f"{error}{lines}") from None
        if not probed.parity.passed:
            raise ParityError(f"{target} does not agree with the trained model: {'; '.join(probed.parity.reasons)}")
        endpoints.append(
            _endpoint(
                config, target, server, address, probed.parity, probed.first_request_ms, ready_s, where, workspace
            )
        )
    return endpoints


def _endpoint(
    config: ModelsFile,
    target: Target,
    server: ServerRecord,
    address: str,
    parity: Any,
    first_ms: float,
    ready_s: dict[str, float],
    where: str,
    workspace: Workspace,
) -> Endpoint:
    item = target.served
    if item.record.sha256 is None or item.record.parity is None:
        raise LoadproofError(f"the manifest of {item.name} says ok without a hash or a parity; run 'make export' again")
    kind: Literal["native", "python"] = (
        "python" if item.engine == "triton" or server.engine_kind == "embedded" else "native"
    )
    batching = item.model.batching
    batches = item.engine == "triton" or server.engine_kind == "real"
    return Endpoint(
        id=f"{item.model_name}__{item.format}__{item.engine}__{target.protocol}",
        model=item.model_name,
        version=item.version,
        format=item.format,
        engine=server.engine,
        engine_kind=server.engine_kind,
        engine_version=server.engine_version,
        backend_kind=kind,
        stand_in_for=_stand_in(item, server, config.target),
        device="cpu" if server.engine_kind == "embedded" else where,
        protocol=target.protocol,
        address=address,
        served_name=item.name,
        configuration=Configuration(
            max_batch_size=batching.max_batch_size if batches else None,
            max_queue_delay_us=batching.max_queue_delay_us if batches else None,
            instances=batching.instances if item.engine == "triton" else 1,
            threads=batching.threads,
        ),
        artifact_sha256=item.record.sha256,
        parity_export=item.record.parity,
        parity_endpoint=parity,
        load_to_ready_s=ready_s[item.name],
        first_request_ms=first_ms,
        payloads=folder_name(item, target.protocol),
        outputs=item.manifest.outputs,
        golden=str(item.golden.relative_to(workspace.root)),
        atol=item.record.atol,
        rtol=item.record.rtol,
        slo=item.model.slo,
        accuracy=item.manifest.accuracy,
    )


def _stand_in(item: Served, server: ServerRecord, target: str) -> str | None:
    if server.engine_kind == "embedded":
        return "TensorFlow Serving (tensorflow_model_server)"
    return stand_in_for(item.format, "python", target) if item.engine == "triton" else None


def _ports(ports: dict[str, int]) -> str:
    return ", ".join(f"{purpose} {port}" for purpose, port in ports.items())
