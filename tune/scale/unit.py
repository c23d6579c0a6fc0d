"""What a curve counts, and how so many of it are brought up: what measuring a point needs to know, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from contract.config import ModelsFile
from contract.endpoints import Endpoint
from contract.workspace import Workspace
from serving.proxy_config import Balance

Name = Literal["instances", "replicas"]
MICROSECONDS = 1e6


@dataclass(frozen=True)
class Reading:
    """Counters at a moment: answers of each replica so far, processor seconds of the proxy; empty: not counted."""

    answered: tuple[int, ...] = ()
    proxy_s: float | None = None


@dataclass(frozen=True)
class Usage:
    """What was counted between two readings. ``proxy_us``: microseconds per request."""

    shares: list[float] = field(default_factory=list)
    proxy_us: float | None = None


def usage(before: Reading, after: Reading) -> Usage:
    """Who answered how much, and what the proxy took; empty where a replica began to count anew or nothing came."""
    if len(before.answered) != len(after.answered):
        return Usage()
    counts = [late - early for early, late in zip(before.answered, after.answered, strict=True)]
    total = sum(counts)
    if not total or min(counts) < 0:
        return Usage()
    shares = [round(count / total, 4) for count in counts]
    if before.proxy_s is None or after.proxy_s is None:
        return Usage(shares)
    return Usage(shares, round((after.proxy_s - before.proxy_s) / total * MICROSECONDS, 2))


class Unit(Protocol):
    """One kind of what is counted, for one endpoint. ``shared`` and ``proxy`` are the record's sentences."""

    @property
    def name(self) -> Name: ...

    @property
    def shared(self) -> str: ...

    @property
    def proxy(self) -> str: ...

    @property
    def proxy_threads(self) -> int | None: ...

    def up(self, number: int) -> Endpoint:
        """Have so many, proven. Raises ServerError where they do not come up, ParityError where one answers wrongly."""
        ...

    def direct(self) -> Endpoint | None:
        """One, asked without what spreads requests; None where nothing does, or it cannot be passed by."""
        ...

    def reading(self) -> Reading: ...

    def lost(self) -> str:
        """What was lost since `up`, so that whatever was measured since says nothing; empty: nothing."""
        ...


@dataclass(frozen=True)
class Subject:
    """What is scaled, how far, and what the command line says about it. Memory in MiB."""

    config: ModelsFile
    workspace: Workspace
    endpoint: Endpoint
    most: int
    memory_mib: float | None = None
    balance: Balance = "leastconn"
    proxy_threads: int = 1
    deployment: str = ""
