"""Roll the running servers over to newer versions, without a moment in which nothing answers.

A new version is loaded beside the old one under another name first and asked every golden request. Only if its
answers are right does it become a version of the model: the engine loads it before it lets the old one go. What does
not load or answers wrongly is taken away again, the old version never stopped answering, and the reason stays in
live/events.jsonl, which `status` shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints, ServerRecord, Servers
from contract.errors import LoadproofError, ParityError, UsageError, of_the_machine
from contract.events import Event, append_event, happened
from contract.files import read_model, write_json
from contract.golden import read_examples
from contract.manifest import versions_of
from contract.progress import say
from contract.table import choose
from contract.workspace import Workspace
from serving import fleet
from serving.layout.laid_out import as_planned, version_folder
from serving.layout.repository import Served, check_files, plan
from serving.layout.signature import alike, in_words
from serving.places.ports import host_port
from serving.places.turn import turn
from serving.proof.payloads import PROTOCOLS, folder_name, put_back_where_it_fails, write_payloads
from serving.proof.probe import probe, probe_together
from serving.proof.proving import prove, prove_older
from serving.rolling.taking_back import taken_back_where_it_fails

ROLLERS = {"triton": "serving.rolling.triton:TritonRoller", "tfserving": "serving.rolling.tfserving:TfServingRoller"}
CANDIDATE = "__candidate"  # after a served name; no name of models.toml holds two underscores


def roller_of(server: ServerRecord, workspace: Workspace, ours: bool = False) -> Any:
    """Who changes what a running server has; ``ours`` as in `roll`."""
    return choose(ROLLERS, server.engine, "engine")(server, workspace, ours)


def roll(config: ModelsFile, group: str, workspace: Workspace, ours: bool = False) -> list[Event]:
    """Serve the newest export of every model of the group that runs; what happened to each that has a newer one.

    ``ours`` is somebody's word that a TF Serving at an address has no models but ours.
    Raises UsageError where nothing runs, and where another command is changing the servers.
    """
    with turn(workspace, "roll"):
        return _roll(config, group, workspace, ours)


def _roll(config: ModelsFile, group: str, workspace: Workspace, ours: bool) -> list[Event]:
    known = read_model(workspace.endpoints, Endpoints, "make serve")
    servers = {item.engine: item for item in read_model(workspace.servers, Servers, "make serve").servers}
    events: list[Event] = []
    served = [item for item in plan(config, group, workspace)[0] if any(_same(old, item) for old in known.endpoints)]
    newer = _newer(served, known.endpoints)
    for sentence in (*_unlisted(served, workspace), *_for_the_next_start(served, newer, workspace)):
        say(sentence)
    for item, old in newer:
        server = servers[item.engine]
        roller = roller_of(server, workspace, ours)
        event, endpoints = _roll_one(config, item, old, server, workspace, roller)
        if endpoints:  # first of all: whoever is interrupted from here on leaves named what is served
            others = [found for found in known.endpoints if not _same(found, item)]
            known = known.model_copy(update={"endpoints": [*others, *endpoints]})
            write_json(workspace.endpoints, known)
            roller.retire(item)
        append_event(workspace.events, event)
        events.append(event)
        say(f"{event.what}: {event.detail}")
    fleet.renew_fingerprint(config, group, workspace)
    return events


def _unlisted(served: list[Served], workspace: Workspace) -> Iterator[str]:
    """A sentence for each model that has a newer export than `versions` of its engine lists."""
    for item in served:
        newest = versions_of(workspace.artifacts / item.model_name)[-1]
        if not item.policy.candidates([newest]):
            key = f"models.{item.model_name}.{item.engine}.versions"
            yield (
                f"version {newest} of {item.name} on {item.engine} is not served: the newest that {key} lists is "
                f"{item.version}; add {newest} to the list to roll to it"
            )


def _for_the_next_start(
    served: list[Served], newer: list[tuple[Served, Endpoint]], workspace: Workspace
) -> Iterator[str]:
    """A sentence for each model that has no newer export, and of which a start would serve other versions."""
    rolled = [item for item, _ in newer]
    for item in served:
        if item not in rolled and not as_planned(item, workspace):
            versions = ", ".join(str(each.version) for each in reversed((item, *item.older)))
            key = f"models.{item.model_name}.{item.engine}.versions"
            yield (
                f"{item} has no newer version to roll to; what {key} asks for now, which is {versions} of the exports "
                "that there are, is served from the next 'make serve' on"
            )


def _newer(served: list[Served], running: list[Endpoint]) -> list[tuple[Served, Endpoint]]:
    """What runs with other bytes than the newest export, beside an endpoint of what runs."""
    found = []
    for item in served:
        old = next((endpoint for endpoint in running if _same(endpoint, item)), None)
        if old is not None and old.artifact_sha256 != item.record.sha256:
            found.append((item, old))
    return found


def _same(endpoint: Endpoint, item: Served) -> bool:
    return (endpoint.engine, endpoint.served_name) == (item.engine, item.name)


def _roll_one(
    config: ModelsFile, item: Served, old: Endpoint, server: ServerRecord, workspace: Workspace, roller: Any
) -> tuple[Event, list[Endpoint]]:
    """Replace one served version. The event, and the endpoints of the new version (none: the old ones stay)."""
    try:
        if item.version <= old.version:
            raise UsageError(
                f"version {item.version} is not newer than the {old.version} that is served; 'make stop', then "
                "'make serve' goes back to it"
            )
        item = replace(item, older=_joining(item, workspace))
        for version in (item, *item.older):
            check_files(version)
        _insist_on_signature(item, old)
        with _candidate(roller, item, workspace) as candidate:
            _insist_on_answers(candidate, server, workspace)
        with put_back_where_it_fails(item, workspace.live), taken_back_where_it_fails(item, roller):
            seconds = roller.publish(item)
            endpoints = prove(config, item, server, seconds, workspace)
            prove_older(item, server, workspace)
    except (LoadproofError, OSError) as error:
        reason = of_the_machine(error) or error
        why = f"version {item.version} of {item.name} is refused, version {old.version} goes on: {reason}"
        return happened("refused", item.engine, item.name, why), []
    detail = f"{item.name} on {item.engine} went from version {old.version} to {item.version}"
    return happened("rolled", item.engine, item.name, detail), endpoints


def _joining(item: Served, workspace: Workspace) -> tuple[Served, ...]:
    """The older versions that come with the new one, newest first: to be served, and not laid out yet."""
    if not item.policy.exact:
        return ()
    return tuple(older for older in item.older if not version_folder(older, workspace).exists())


@contextmanager
def _candidate(roller: Any, item: Served, workspace: Workspace) -> Iterator[Served]:
    """The new version under another name, loaded; gone again afterwards, whatever happens."""
    candidate = replace(item, name=f"{item.name}{CANDIDATE}", older=())
    try:
        roller.load_candidate(candidate)
        yield candidate
    finally:
        roller.drop_candidate(candidate)
        shutil.rmtree(workspace.live / folder_name(candidate, "http").removesuffix("/http"), ignore_errors=True)


def _insist_on_signature(item: Served, old: Endpoint) -> None:
    """Clients go on sending what they sent. Raises UsageError where the newer version takes or gives something else."""
    for what, new, served in (
        ("inputs", item.manifest.inputs, old.inputs or item.manifest.inputs),  # not known of what is served for long
        ("outputs", item.manifest.outputs, old.outputs),
    ):
        if not alike(new, served):
            raise UsageError(
                f"its {what} are {in_words(new)} instead of {in_words(served)}, which would fail every client that "
                "runs; serve it under a name of its own, or stop the servers and serve it instead"
            )


def _insist_on_answers(candidate: Served, server: ServerRecord, workspace: Workspace) -> None:
    protocol = PROTOCOLS[candidate.engine][0]
    examples = read_examples(candidate.golden)
    index = write_payloads(candidate, protocol, examples, workspace.live)
    folder = workspace.live / folder_name(candidate, protocol)
    address = host_port(server.host, server.ports[protocol])
    for parity in (
        probe(candidate, index, folder, address, examples).parity,
        probe_together(candidate, index, folder, address, examples),
    ):
        if not parity.passed:
            raise ParityError(f"it does not agree with the trained model: {'; '.join(parity.reasons)}")
