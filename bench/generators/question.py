"""What every generator is asked to send, in one file: the same request for each protocol, and where to."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """One request as it is sent. ``body`` is base64; ``target`` the path of the POST or the full gRPC method."""

    address: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.body)


@dataclass(frozen=True)
class Question:
    """By protocol, and as tensors (name -> nested lists, with the batch axis) for those who serialise themselves."""

    model: str
    version: int
    calls: dict[str, Call]
    tensors: dict[str, list[list[int]]]
    users: int

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def read(path: Path) -> Question:
    """Read what ``write`` wrote."""
    document = json.loads(path.read_text())
    calls = {name: Call(**call) for name, call in document.pop("calls").items()}
    return Question(calls=calls, **document)
