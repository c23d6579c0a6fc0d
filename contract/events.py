"""live/events.jsonl: what happened to the servers while they ran, one line each, never rewritten."""

from __future__ import annotations

import errno
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from contract.endpoints import EngineName
from contract.manifest import Entry

What = Literal["died", "restarted", "reloaded", "gave up", "rolled", "refused", "not measured"]


class Event(Entry):
    """One thing that happened."""

    at: str = Field(description="UTC, ISO 8601, milliseconds")
    at_ns: int | None = Field(None, description="the same by CLOCK_MONOTONIC, the clock of the records")
    what: What = Field(
        description="`died`: a server or a process of a model; `restarted`: a server; `reloaded`: a model whose "
        "process had died; `gave up`: it stays down; `rolled`: a new version is served; `refused`: a new version is "
        "not; `not measured`: it could not be made ready for a load test"
    )
    engine: EngineName = Field(description="`triton` | `tfserving`")
    model: str | None = Field(description="served name, where one model is concerned")
    detail: str = Field(description="a sentence: why, or which version")
    last_lines: str = Field("", description="the end of the server's log, where it died")


def happened(what: What, engine: EngineName, model: str | None, detail: str, last_lines: str = "") -> Event:
    """An event of now."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Event(
        at=at, at_ns=time.monotonic_ns(), what=what, engine=engine, model=model, detail=detail, last_lines=last_lines
    )


def append_event(path: Path, event: Event) -> None:
    """Add one line; writers need no lock, since a line is one write at the end of the file.

    Raises OSError where it cannot be written, or not whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        line = event.model_dump_json().encode() + b"\n"
        written = os.write(handle, line)
        if written < len(line):  # the half goes, or the next line would be its end; on a full disk nobody else adds one
            os.ftruncate(handle, os.fstat(handle).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def read_events(path: Path, since: str = "") -> list[Event]:
    """The events from ``since`` (ISO 8601) on, oldest first; a line that was cut off by a crash is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            event = Event.model_validate_json(line)
        except ValidationError:
            continue
        if datetime.fromisoformat(event.at) >= _moment(since):
            found.append(event)
    return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)
