"""What a curve counts, and how so many of it are brought up: what measuring a point needs to know, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from contract.config import ModelsFile
from contract.endpoints import Endpoint
from contract.workspace import Workspace
from serving.replication.proxy_config import Balance
from tune.scale.consumption import Used

Name = Literal["instances", "replicas"]
MICROSECONDS = 1e6


@dataclass(frozen=True)
class Reading:
    """Counters at a moment: answers of each replica so far, processor seconds of the proxy; empty: not counted.

    ``used``: what each replica has used so far.
    """

    answered: tuple[int, ...] = ()
    proxy_s: float | None = None
    used: tuple[Used, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What was counted between two readings.

    ``proxy_us``, ``server_us``: processor time of the proxy, and of each replica, per request to any of them,
    microseconds. ``server_mib``: memory of each replica at the second reading.
    """

    shares: list[float] = field(default_factory=list)
    proxy_us: float | None = None
    server_us: list[float] = field(default_factory=list)
    server_mib: list[float] = field(default_factory=list)

    def cores(self, rps: float) -> list[float]:
        """Cores that each replica keeps busy at a rate.

        Not processor seconds over seconds: between the readings are warm-up and drain too, when less was asked.
        """
        return [round(each * rps / MICROSECONDS, 3) for each in self.server_us]


def usage(before: Reading, after: Reading) -> Usage:
    """Who answered how much and used what; empty where a replica began to count anew or nothing came."""
    if len(before.answered) != len(after.answered):
        return Usage()
    counts = [late - early for early, late in zip(before.answered, after.answered, strict=True)]
    total = sum(counts)
    if not total or min(counts) < 0:
        return Usage()

    def per_request(early_s: float, late_s: float) -> float:
        return round((late_s - early_s) / total * MICROSECONDS, 2)

    both = before.proxy_s is not None and after.proxy_s is not None
    pairs = list(zip(before.used, after.used, strict=False))
    return Usage(
        shares=[round(count / total, 4) for count in counts],
        proxy_us=per_request(before.proxy_s or 0.0, after.proxy_s or 0.0) if both else None,
        server_us=[per_request(early.cpu_s, late.cpu_s) for early, late in pairs],
        server_mib=[round(late.mib, 1) for _, late in pairs],
    )


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
