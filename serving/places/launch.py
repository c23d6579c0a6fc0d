"""A Launch: everything about a server that is data. Engines make them, places run them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from contract.manifest import Entry
from serving.places.ports import LOOPBACK


class Launch(Entry):
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
    host: str = LOOPBACK  # where clients find it
    mounts: list[Path] = Field([])
    inside: dict[str, int] = Field({})  # ports inside a container, by purpose
    gpus: bool = False  # give a container the machine's GPUs
    shared_memory_mib: int = 64  # of a container; Docker's default is too little for python-based backends
    cores: list[int] = Field([])  # the only ones that it may use; all when empty
    shm_prefix: str | None = None
    timeout_s: float = 180.0
    warning: str | None = None  # said aloud before the start
