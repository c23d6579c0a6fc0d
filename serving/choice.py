"""Which servers were asked for and where, kept in live/choice.json, and the fingerprint of what is served how."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from contract.config import ModelsFile
from contract.files import read_model, write_json
from contract.manifest import Entry
from contract.workspace import Workspace
from serving import supervise
from serving.layout.repository import Served

HALF = 32  # digits of a fingerprint
# Of a model's settings: what is nothing to servers of ours, and what a roll brings about itself.
ROLLED: Any = {"elsewhere": True, "triton": {"versions"}, "tfserving": {"versions"}}


class Choice(Entry):
    """Which servers to start and where: names of ways to start one, or addresses of servers that run already."""

    triton: str = "process"
    tfserving: str = "auto"
    tfserving_ours: bool = False  # somebody's word: the one at an address has no models but ours
    image: str | None = None  # of Triton, instead of NVIDIA's
    one_at_a_time: bool = False
    restarts: int = supervise.MOST_RESTARTS


def read_choice(workspace: Workspace) -> Choice:
    """What the running servers were asked for with."""
    return read_model(_file(workspace), Choice, "make serve")


def write_choice(choice: Choice, workspace: Workspace) -> None:
    write_json(_file(workspace), choice)


def keep_word(choice: Choice, workspace: Workspace) -> None:
    """Of servers that run already, what was said of the one at an address counts from now on."""
    update = {"tfserving_ours": choice.tfserving_ours}
    write_choice(read_choice(workspace).model_copy(update=update), workspace)


def kept(asked: Choice, running: Choice) -> str:
    """What servers that run keep as they were started, although ``asked`` says something else; empty: nothing. Pure.

    What is in the fingerprint is not among it: where that differs, servers are started anew.
    """
    found = []
    if asked.restarts != running.restarts:
        found.append(f"keep --restarts {running.restarts}")
    if asked.one_at_a_time != running.one_at_a_time:
        found.append(f"hold {'the formats of one model at a time' if running.one_at_a_time else 'all formats'}")
    return f"they {' and '.join(found)}, as they were started; 'make stop' first to change that" if found else ""


def fingerprint(config: ModelsFile, served: list[Served], choice: Choice) -> str:
    """64 hexadecimal digits over what is served and how. A word about a server changes neither, and is left out.

    The first half is about how: a roll changes the other one alone (`same_settings`). In which order models are served
    is nothing to either, but for the first on TF Serving, whose batching all have there.
    """
    heard = next((item.name for item in served if item.engine == "tfserving"), None)  # the first one's batching counts
    how = [config.target, config.affinity.model_dump(), choice.triton, choice.tfserving, choice.image, heard]
    served = sorted(served, key=lambda item: (item.engine, item.name))
    settings = [[item.name, item.engine, item.model.model_dump(mode="json", exclude=ROLLED)] for item in served]
    exports = [
        [
            item.name,
            item.engine,
            item.version,
            item.record.sha256,
            [[older.version, older.record.sha256] for older in item.older],
            [item.model.triton.versions, item.model.tfserving.versions],
        ]
        for item in served
    ]
    return _digest([how, settings]) + _digest(exports)


def same_settings(one: str, other: str) -> bool:
    """Whether two fingerprints differ in the exports alone, if at all."""
    return one[:HALF] == other[:HALF]


def _digest(facts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:HALF]


def _file(workspace: Workspace) -> Path:
    return workspace.live / "choice.json"
