"""results/<id>/scaling.json: how throughput grew with the number of instances or replicas, and the law that fits it.

The measured points are always there; the prediction only where enough of them were measured undisturbed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.manifest import Entry

FILE = "scaling.json"


class Point(Entry):
    """One number of instances or replicas."""

    n: int = Field(description="instances of the model, or replicas of the server")
    variant: str = Field(description="id of the variant whose stages were measured")
    closed_rps: float = Field(description="most answers per second of the closed loop")
    users: int = Field(description="of the closed loop that answered so many")
    p99_ms: float | None = Field(description="99th percentile in that closed loop; null without an answer")
    max_rps: float | None = Field(
        description="highest rate at which probes kept the objectives, not confirmed; null where none did"
    )
    reason: str = Field("", description="why `max_rps` is null, or what is to be known of it; else empty")
    invalid: str = Field("", description="why nothing may be concluded from this point; else empty")
    shares: list[float] = Field(
        [], description="share of the answers that each replica gave; empty where they cannot be asked"
    )
    proxy_us: float | None = Field(
        None, description="processor time of the proxy per request, microseconds; null without one"
    )
    server_cores: list[float] = Field(
        [], description="cores that each replica used at `closed_rps`, mean; empty where they cannot be read"
    )
    server_mib: list[float] = Field(
        [], description="resident memory of each replica after that closed loop, MiB; empty where it cannot be read"
    )


class Prediction(Entry):
    """The Universal Scalability Law X(n) = rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1)), fitted."""

    rate: float = Field(description="requests per second of one, by the law")
    sigma: float = Field(description="contention: the share that is done one after the other")
    kappa: float = Field(description="coherence: what agreeing with each other one costs")
    residual: float = Field(description="relative root mean square by which the law misses the points")
    peak: float | None = Field(description="number at which throughput is highest; null where none is in sight")
    peak_rps: float | None = Field(description="requests per second there")


class Scaling(Entry):
    """results/<id>/scaling.json."""

    schema_version: Literal[1]
    endpoint: str = Field(description="id of the endpoint that was scaled")
    unit: Literal["instances", "replicas"] = Field(description="what `n` counts")
    points: list[Point] = Field(description="as measured, smallest number first")
    shared: str = Field(description="which cores load generator or proxy shared with the servers; empty: none")
    proxy: str = Field("", description="what spreads requests over replicas, and how; empty for instances")
    proxy_threads: int | None = Field(None, description="of our proxy; null without one")
    direct: Point | None = Field(
        None,
        description="one replica asked without the proxy: what the first point has less, the proxy costs; "
        "null where it was not measured",
    )
    prediction: Prediction | None = Field(description="of the closed-loop throughput; null with the reason below")
    reason: str = Field(description="how well the law fits, or why there is no prediction")
    complete: bool = Field(description="false when it was interrupted")
