"""The serialised requests of one variant and stage, read once; which of them is sent next is drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.endpoints import PayloadEntry, PayloadIndex
from contract.errors import UsageError
from contract.files import read_model
from contract.records import Stage, VariantPlan
from contract.shapes import Trace


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent."""

    key: str
    rows: int
    body: bytes
    headers: dict[str, str]
    prepared: bytes = b""  # as the endpoint's client sends it


@dataclass(frozen=True)
class Requests:
    """What may be sent to one endpoint. ``target``: the path of the POST, or the full name of the gRPC method."""

    target: str
    requests: list[Request]

    def prepared(self, prepare: Callable[[bytes, dict[str, str]], bytes]) -> Requests:
        """The same, each with what a client makes of it once."""
        done = [replace(item, prepared=prepare(item.body, item.headers)) for item in self.requests]
        return Requests(self.target, done)

    def named(self) -> dict[str, Request]:
        """By key."""
        return {request.key: request for request in self.requests}


def read_requests(folder: Path, every: bool = False) -> Requests:
    """Read the serialised requests of one inference each (all of them if ``every``, or where there are none of one)."""
    index = read_model(folder / "index.json", PayloadIndex, "make serve")
    singles: list[PayloadEntry] = [entry for entry in index.payloads if entry.rows == 1]
    chosen = index.payloads if every or not singles else singles
    if not chosen:
        raise UsageError(f"{folder} holds no requests; run 'make serve' again")
    requests = [Request(entry.key, entry.rows, (folder / entry.file).read_bytes(), entry.headers) for entry in chosen]
    return Requests(index.target, requests)


def requests_of(variant: VariantPlan, stage: Stage, results: Path, live: Path) -> Requests:
    """What a stage sends: the golden batch's singles, all of it for a trace, or what was made for the stage."""
    folder = Path(variant.endpoint.payloads)
    if not stage.payloads:
        return read_requests(live / folder, every=isinstance(stage.shape, Trace))
    return read_requests(results / "payloads" / stage.payloads / folder.relative_to("payloads"), every=True)
