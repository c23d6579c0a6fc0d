"""A Launch: everything about a server that is data. Engines make them, places run them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Launch:
    """What to start and how to see that it is ready. ``ready`` is a GET path on the port named ``ready_port``."""

    engine: Literal["triton", "tfserving"]
    engine_kind: Literal["real", "embedded"]
    command: list[str]
    image: str | None
    environment: dict[str, str]
    ports: dict[str, int]
    ready: str
    ready_port: str
    log: Path
    mounts: list[Path] = field(default_factory=list)
    inside: dict[str, int] = field(default_factory=dict)  # ports inside a container, by purpose
    shm_prefix: str | None = None
    timeout_s: float = 180.0
    warning: str | None = None  # said aloud before the start
