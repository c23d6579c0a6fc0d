"""reports/<id>/recommendation.json: what to deploy, and all that a deployment is sized by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.endpoints import Configuration, EngineName
from contract.machine import Machine
from contract.manifest import Entry
from contract.search import Limit


class Recommended(Entry):
    """What to deploy for one model, and what was measured of it: enough to size a deployment without the report."""

    variant: str = Field(description="id of the variant")
    format: str = Field(description="as in the manifest")
    engine: EngineName
    engine_kind: Literal["real", "embedded"]
    engine_version: str = Field(description="as the server names it")
    backend_kind: Literal["native", "python"]
    stand_in_for: str | None = Field(description="what the deployment would run instead, or null")
    device: str = Field(description="`cpu` | `gpu:<name>` | `unknown`")
    protocol: Literal["http", "grpc", "rest"]
    configuration: Configuration
    artifact_sha256: str = Field(description="of the bytes that were measured")
    objectives: dict[str, float] = Field(description="what it kept, by the keys of the model's `slo`")
    max_rps: float | None = Field(
        gt=0, description="requests per second that it was shown to hold; null where none was"
    )
    limited_by: Limit = Field(
        "", description="what a search met above that rate, as in search.json; empty where none was made or ended"
    )
    p99_ms: float | None = Field(description="its p99 at that rate, milliseconds")
    queue_us: float | None = Field(description="mean time of a request in the queue at that rate, microseconds")
    server_cores: float | None = Field(description="cores that the server used at that rate, mean")
    server_mib: float | None = Field(description="most resident memory of the whole server in any stage, MiB")
    load_to_ready_s: float = Field(description="from the load command (or server start) to ready")


class Recommendation(Entry):
    """reports/<id>/recommendation.json: what to deploy, per model; only winners that keep their objectives."""

    schema_version: Literal[2]
    report: str = Field(description="id of the report")
    target: str = Field(description="Triton release that production runs")
    machine: Machine | None = Field(
        description="where the servers ran; null where they ran elsewhere than the load, for nobody told it then"
    )
    resident: list[str] = Field(description="models whose servers shared the machine: their memory is in `server_mib`")
    warnings: list[str] = Field(description="what could mislead about every figure of the run")
    models: dict[str, Recommended] = Field(description="by model")
