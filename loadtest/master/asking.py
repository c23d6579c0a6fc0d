"""How a `Session` and the master of its load test talk: two files in the run's folder, each a line per message.

``asked.jsonl`` is written by the session and read by the master, ``told.jsonl`` the other way round. They are files and
not a pipe, because what was asked and answered last tells why a run hung or died; a run that ended well has neither.
No gevent in here: whoever holds a session need not be a load process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

ASKED, TOLD = "asked.jsonl", "told.jsonl"
LOOK_S = 0.02  # how often the next line is looked for

M = TypeVar("M", bound=BaseModel)
Cut = Literal["", "hopeless", "clear"]


@dataclass(frozen=True)
class Measured:
    """What came of a stage: counts of the requests that were due in its window, of all load processes."""

    stage: int  # index into the variant's stages
    due: int
    failed: int
    over: dict[str, int]  # percentile of the SLO -> failed, or slower than its objective, from the intended send
    late: int  # sent late though there was room
    good: int  # good answers that came within the window
    answered_rps: float  # `good` per second of the window; 0 where it was aborted
    client_cpu: float  # share of one core that the busiest load process used
    lost: list[str]  # load processes that did not report
    aborted: bool  # too many requests failed, so nothing more was sent
    cut: Cut  # why the window ended before its time
    window_s: float  # as it really was
    seconds: float  # that the step took, from the question to the answer


class Line(BaseModel):
    """A message."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(Line):
    """Measure this stage of plan.json, which is up to date."""

    number: int
    variant: int = 0
    stage: int = 0
    early: bool = False
    end: bool = False  # nothing more is asked for


class Told(Line):
    """What came of the question of this number: figures, or why the server could not be made ready."""

    number: int
    measured: Measured | None = None
    error: str = ""


class Lines:
    """The messages of one of the files, as they are appended by another process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def next(self, kind: type[M]) -> M | None:
        """The next message, when its line is complete."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                line = file.readline()
        except FileNotFoundError:
            return None
        if not line.endswith(b"\n"):
            return None
        self._offset += len(line)
        return kind.model_validate_json(line)


def append(path: Path, message: Line) -> None:
    """Append a message in one write."""
    with path.open("ab") as file:
        file.write(message.model_dump_json().encode() + b"\n")
