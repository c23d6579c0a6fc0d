"""certificates/<key>.json and results/<id>/certificate.json: what the load generator itself can do, and what it adds.

Measured by the same clients and the same load processes against a server that does nothing. A key names everything that
the figures depend on, so a certificate is measured once and used by every later run of which the same is true.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field

from contract.client import Client
from contract.endpoints import Protocol
from contract.machine import Machine
from contract.manifest import Entry

MOST_OF_CEILING = 0.7  # above this share of what the generator can do at most, it is part of what is measured
MOST_CLIENT_CPU = 0.8  # of a core: an open loop whose busiest load process used more is not trusted at any rate
LEAST_CLASS = 256  # bytes: below it the protocol's own headers are larger than the body

CeilingOf = Literal["client", "null server", "machine"]


class Setting(Entry):
    """What the figures of a certificate depend on."""

    machine: Machine = Field(description="where the load comes from")
    versions: dict[str, str] = Field(description="of the client's packages")
    code: str = Field(description="SHA-256 over the load generator's own sources, the first 12 digits")
    protocol: Protocol = Field(description="`http` | `grpc` | `rest`")
    request_class: int = Field(description="requests have at most so many bytes: a power of two")
    answer_class: int = Field(description="answers have at most so many bytes: a power of two")
    client: Client = Field(
        description="connections, headers, and whether under TLS; without its files and names, for a null server "
        "shows a certificate of its own"
    )
    concurrency: int = Field(description="users of the closed loop that found the ceiling")
    processes: int = Field(description="load processes")
    cores: list[int] = Field(description="which the load processes may use")

    @property
    def key(self) -> str:
        """Names the file: readable, and another one where anything differs."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.protocol}-{self.request_class}-{self.answer_class}-{digest}"


class Added(Entry):
    """What the client adds to a latency that the server knows: open loop, request by request."""

    rate: float = Field(description="Poisson arrivals per second")
    requests: int = Field(description="compared")
    server_p50_ms: float = Field(description="median delay, as the null server measured it")
    p50_ms: float = Field(description="latency less the server's own delay, median")
    p99_ms: float = Field(description="latency less the server's own delay, 99th percentile")
    sent_late_p50_ms: float = Field(description="of it, from the intended to the actual send, median")
    sent_late_p99_ms: float = Field(description="of it, from the intended to the actual send, 99th percentile")


class OpenCeiling(Entry):
    """What an open loop can do at most: a timer that wakes it costs more than the answer that wakes a closed one."""

    rps: float = Field(description="the highest Poisson rate, requests per second, that was sent on time and answered")
    of: CeilingOf = Field(
        description="who was busier at the next higher rate, which was not kept: `client` or `null server`; `machine`: "
        "neither was busy there, or every rate was kept, so that `rps` is a lower bound"
    )
    client_cpu: float = Field(description="share of one core at `rps`, of the busiest load process")
    server_cpu: float = Field(description="share of one core at `rps`, of the null server")


class Certificate(Entry):
    """certificates/<key>.json."""

    schema_version: Literal[1]
    measured: str = Field(description="UTC, ISO 8601")
    setting: Setting = Field(description="see below")
    request_bytes: int = Field(description="mean body that was sent")
    answer_bytes: int = Field(description="body of the answer, a real one of an endpoint")
    ceiling_rps: float = Field(description="requests per second of a closed loop whose server does nothing")
    ceiling_of: CeilingOf = Field(
        description="who was the limit; `null server`: it was busier than the client, whose own ceiling is higher; "
        "`machine`: neither had a core to itself, the ceiling is what other work left"
    )
    client_cpu: float = Field(description="share of one core at the ceiling, of the busiest load process")
    server_cpu: float = Field(description="share of one core at the ceiling, of the null server")
    open_ceiling: OpenCeiling | None = Field(
        None,
        description="see below; null in older files, and where other work on the machine let no rate be kept: "
        "then `ceiling_rps` is what counts",
    )
    added: Added = Field(description="see below")

    @property
    def trusted_rps(self) -> float:
        """The highest rate, requests per second, of an open loop that is trusted."""
        return MOST_OF_CEILING * (self.open_ceiling.rps if self.open_ceiling else self.ceiling_rps)


class Certificates(Entry):
    """results/<id>/certificate.json: the certificates that hold for a run."""

    schema_version: Literal[1]
    certificates: dict[str, Certificate] = Field(description="by key")
    endpoints: dict[str, str] = Field(description="id of an endpoint -> key of its certificate")

    def of(self, endpoint: str) -> Certificate | None:
        """The certificate that holds for an endpoint, if any."""
        return self.certificates.get(self.endpoints.get(endpoint, ""))


def size_class(size: float) -> int:
    """The power of two, in bytes, that a body of this size fits into."""
    bound = LEAST_CLASS
    while bound < size:
        bound *= 2
    return bound
