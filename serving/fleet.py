"""Bring the servers up, tell how they are, take them down.

Whatever was started is written to live/servers.json at once, so that `make stop` finds it whatever happens next; when
starting fails or is interrupted, everything that was started is stopped again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints, ServerRecord, Servers
from contract.errors import ServerError
from contract.files import read_model, write_json
from contract.machine import this_machine
from contract.progress import say, track
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving import supervise
from serving.choice import Choice, fingerprint, read_choice, same_settings, write_choice
from serving.engines import tensorflow_serving, triton
from serving.engines.tfserving_state import LOAD_S, TfServingState
from serving.layout.laid_out import as_planned, versions_in
from serving.layout.repository import Served, plan
from serving.layout.tfserving_config import unheard
from serving.layout.triton_config import BACKENDS
from serving.places.addresses import is_address
from serving.places.launch import Launch
from serving.places.ports import host_port
from serving.places.starting import launch_file, place_of, start
from serving.places.turn import last_turn, turn
from serving.proof.proving import prove, prove_older

# What is added to Triton's own words when a release has no such backend.
NO_BACKEND = (
    ": this server has no backend '{backend}'; put serving/backends/{backend} into its image, as docs/serving.md "
    "shows, or leave the format out with 'serve' in models.toml"
)
SETTINGS_CHANGED = (
    "settings have changed since the servers were started; what was not rolled has the old ones until 'make serve'"
)
MOST_RESIDENT = 12  # processes of about 0.5 GiB each


def running(workspace: Workspace) -> list[ServerRecord]:
    """The servers that we started, or were pointed at, and that still run, or may."""
    if not workspace.servers.is_file():
        return []
    record = read_model(workspace.servers, Servers, "make serve")
    return [server for server in record.servers if _may_run(server)]


def _may_run(server: ServerRecord) -> bool:
    """Whether a server runs. Where its place cannot tell, that is said and it counts, so that nobody forgets it."""
    try:
        return bool(place_of(server).alive(server))
    except ServerError as error:
        say(str(error))
        return True


def stop(workspace: Workspace) -> list[ServerRecord]:
    """Stop everything that we started and forget it; whoever is starting it is interrupted first.

    Returns what was still running.
    """
    with last_turn(workspace, "stop"):
        return _stop(workspace)


def _stop(workspace: Workspace) -> list[ServerRecord]:
    if not workspace.servers.is_file():
        workspace.endpoints.unlink(missing_ok=True)
        return []
    supervise.stop(read_model(workspace.servers, Servers, "make serve").supervisor)
    record = read_model(workspace.servers, Servers, "make serve")  # which the supervisor may just have changed
    were_running = running(workspace)
    workspace.endpoints.unlink(missing_ok=True)
    with ThreadPoolExecutor(max(1, len(record.servers))) as pool:  # each of them takes its time to end
        failures = list(pool.map(_why_it_stays, record.servers))
    left = [server for server, why in zip(record.servers, failures, strict=True) if why]
    for server in record.servers:
        if server not in left:
            launch_file(workspace, server.engine).unlink(missing_ok=True)
    if left:  # so that the next 'make stop' tries again
        write_json(workspace.servers, Servers(schema_version=1, servers=left))
        raise ServerError("; ".join(filter(None, failures)))
    workspace.servers.unlink(missing_ok=True)
    return were_running


def _why_it_stays(server: ServerRecord) -> str:
    """Stop one server; empty where it ended."""
    try:
        place_of(server).stop(server)
    except ServerError as error:
        return str(error)
    return ""


def up(
    config: ModelsFile,
    served: list[Served],
    unserved: dict[str, str],
    workspace: Workspace,
    choice: Choice,
) -> Endpoints:
    """Start the servers, load the models, prove every endpoint, write live/endpoints.json, and have it all watched."""
    with turn(workspace, "up"), _all_or_nothing(workspace):
        workspace.events.unlink(missing_ok=True)
        ready_s: dict[str, float] = {}
        servers: dict[str, ServerRecord] = {}
        on_tfserving = [item for item in served if item.engine == "tfserving"]
        if on_tfserving:
            servers["tfserving"], seconds = _start_tfserving(config, on_tfserving, workspace, choice)
            seconds += _await_versions(on_tfserving, servers["tfserving"], workspace)
            ready_s |= {item.name: round(seconds, 2) for item in on_tfserving}
        if any(item.engine == "triton" for item in served):
            servers["triton"] = _start_triton(config, workspace, choice)
        endpoints: list[Endpoint] = []
        for items in _loads(served, choice.one_at_a_time):
            for item in track([item for item in items if item.engine == "triton"], "load on Triton", "model"):
                ready_s[item.name] = _load(item, servers["triton"])
            endpoints += _prove(config, items, servers, ready_s, workspace)
            if choice.one_at_a_time:
                _unload(items, servers)
        record = Endpoints(
            schema_version=1,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=this_machine(),
            target=config.target,
            fingerprint=fingerprint(config, served, choice),
            unserved=unserved,
            servers=list(servers.values()),
            endpoints=endpoints,
            resident=[f"{item.name} on {item.engine}" for item in served],
            one_at_a_time=choice.one_at_a_time,
        )
        write_json(workspace.endpoints, record)
        write_choice(choice, workspace)
        if servers:
            supervise.start(workspace, choice.restarts)
    return record


def still_loaded(known: Endpoints, workspace: Workspace) -> bool:
    """Whether Triton has the models that it was given: one that is not ours may have been started again meanwhile.

    A version beside the newest may have been unloaded, too; one at an address may have its own choice of these.
    """
    tritons = [server for server in known.servers if server.engine == "triton"]
    return known.one_at_a_time or all(
        _control(server).ready(item.served_name, version)
        for server in tritons
        for item in known.endpoints
        if item.engine == "triton"
        for version in ({item.version} if server.place == "url" else _versions_of(item, workspace))
    )


def _versions_of(endpoint: Endpoint, workspace: Workspace) -> set[int]:
    """The versions of a model on Triton that lie there, and the one that the endpoint names."""
    return {endpoint.version, *versions_in(workspace.triton_repository / endpoint.served_name)}


def too_many(served: list[Served]) -> bool:
    """Whether Triton could not hold all of these: each instance of a python-based backend is a process of its own."""
    instances = sum(item.model.batching.instances * (1 + len(item.older)) for item in served if item.engine == "triton")
    return instances > MOST_RESIDENT


def renew_fingerprint(config: ModelsFile, group: str, workspace: Workspace) -> None:
    """After a roll: what is served now is what `up` would serve, unless something else than exports has changed."""
    served, refused = plan(config, group, workspace)
    known = read_model(workspace.endpoints, Endpoints, "make serve")
    renewed = fingerprint(config, served, read_choice(workspace))
    bytes_served = {
        (endpoint.engine, endpoint.served_name, endpoint.artifact_sha256)
        for endpoint in known.endpoints
        if endpoint.engine != "kserve"
    }
    same_models = {each[:2] for each in bytes_served} == {(item.engine, item.name) for item in served}
    if same_models and not same_settings(renewed, known.fingerprint):
        say(SETTINGS_CHANGED)
        return
    # Where versions are counted, a roll passes over the exports between what was served and the newest; a start would
    # serve them beside it. And `versions` may say something else than when what was not rolled was laid out.
    same_versions = all(as_planned(item, workspace) for item in served)
    if same_versions and bytes_served == {(item.engine, item.name, item.record.sha256) for item in served}:
        update = {"fingerprint": renewed, "unserved": refused}
        write_json(workspace.endpoints, known.model_copy(update=update))


def watch(workspace: Workspace) -> None:
    """Have what runs watched again, with as many restarts as `up` was told; whoever watches it goes on."""
    if not supervise.watched(read_model(workspace.servers, Servers, "make serve").supervisor):
        supervise.start(workspace, read_choice(workspace).restarts)


def laid_out_otherwise(config: ModelsFile, served: list[Served], workspace: Workspace) -> bool:
    """Whether servers run here that were brought up with other exports or settings than these.

    Their trees must not be laid out anew under them: TF Serving would take a new version unproven.
    """
    if not running(workspace) or not workspace.endpoints.is_file():
        return False
    choice = read_choice(workspace)
    known = read_model(workspace.endpoints, Endpoints, "make serve")
    return known.fingerprint != fingerprint(config, served, choice)


def _start_tfserving(
    config: ModelsFile, items: list[Served], workspace: Workspace, choice: Choice
) -> tuple[ServerRecord, float]:
    flavour = tensorflow_serving.choose_flavour(choice.tfserving)
    version = tensorflow_serving.engine_version(flavour)
    batching = tensorflow_serving.may_batch(item.manifest.inputs for item in items)
    if not batching and not is_address(flavour):
        say("TF Serving does not batch: it cannot join requests of different lengths rightly")
    if not is_address(flavour):
        for sentence in unheard({item.name: item.model.batching for item in items}, batching):
            say(f"warning: {sentence}")

    def make() -> Launch:
        launch = tensorflow_serving.launch(workspace, flavour, items[0].model.batching.threads, batching)
        return launch.model_copy(update={"ready": f"{launch.ready}{items[0].name}", "cores": config.affinity.servers})

    return start(make, tensorflow_serving.place_of(flavour), workspace, lambda server: version)


def _await_versions(items: list[Served], server: ServerRecord, workspace: Workspace) -> float:
    """Wait for all that is to be served, and return the seconds that took.

    One at an address may have its own choice of older versions.
    """
    versions = [each for item in items for each in ((item,) if server.place == "url" else (item, *item.older))]
    launch = read_model(launch_file(workspace, server.engine), Launch, "make serve")
    load_s = max(LOAD_S, launch.timeout_s)  # that of an address is for its first answer, not for a load
    started = time.monotonic()
    with _last_words_of(server):
        TfServingState(server, load_s).wait_for((each.name, each.version) for each in versions)
    return time.monotonic() - started


@contextmanager
def _last_words_of(server: ServerRecord) -> Iterator[None]:
    """Add the server's last lines to an error that it died of."""
    try:
        yield
    except ServerError as error:
        place = place_of(server)
        lines = "" if _may_run(server) else f"; the server died:\n{place.last_lines(server)}"
        raise ServerError(f"{error}{lines}") from None


def _start_triton(config: ModelsFile, workspace: Workspace, choice: Choice) -> ServerRecord:
    def make() -> Launch:
        launch = triton.launch(workspace, choice.triton, config.target, choice.image)
        return launch.model_copy(update={"cores": config.affinity.servers})

    place = "url" if is_address(choice.triton) else choice.triton
    server, _ = start(make, place, workspace, lambda found: _control(found).version())
    return server


def _control(server: ServerRecord) -> TritonControl:
    return TritonControl(host_port(server.host, server.ports["http"]))


def _loads(served: list[Served], one_at_a_time: bool) -> list[list[Served]]:
    """What is in memory together: everything, or the formats of one model."""
    if not one_at_a_time:
        return [served]
    return [
        [item for item in served if item.model_name == name] for name in dict.fromkeys(i.model_name for i in served)
    ]


def _load(item: Served, server: ServerRecord) -> float:
    control = _control(server)
    if server.place == "url" and control.ready(item.name, item.version):
        say(f"{item.name} version {item.version} is loaded already: its load time is not ours to measure")
        return 0.0
    try:
        return round(control.load(item.name), 2)
    except ServerError as error:
        hint = (
            NO_BACKEND.format(backend=BACKENDS[item.format].backend) if "unable to find backend" in str(error) else ""
        )
        raise ServerError(f"{error}{hint}; the server's last lines:\n{place_of(server).last_lines(server)}") from None


def _unload(items: list[Served], servers: dict[str, ServerRecord]) -> None:
    for item in items:
        if item.engine == "triton":
            _control(servers["triton"]).unload(item.name)


@contextmanager
def _all_or_nothing(workspace: Workspace) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop(workspace)
        raise


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
        with _last_words_of(server):
            endpoints += prove(config, item, server, ready_s[item.name], workspace)
            if server.place != "url":  # which may have loaded its own choice of versions
                prove_older(item, server, workspace)
    return endpoints
