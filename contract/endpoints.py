"""live/endpoints.json and live/payloads: what is up, and the requests already serialised for each protocol."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.compare import Parity
from contract.machine import Machine
from contract.manifest import Entry
from contract.slo import Slo
from contract.tensors import TensorSpec

Protocol = Literal["http", "grpc", "rest"]
EngineName = Literal["triton", "tfserving", "kserve"]
EngineKind = Literal["real", "embedded"]


class ServerRecord(Entry):
    """One running server."""

    engine: EngineName = Field(description="`triton` | `tfserving` | `kserve`: any other of the KServe v2 protocol")
    engine_kind: EngineKind = Field(description="`real`, or `embedded` for our TF Serving stand-in")
    engine_version: str = Field(description="as the server names it")
    place: str = Field(description="`process` | `docker` | `url`, which is not ours to stop")
    host: str = Field("127.0.0.1", description="where clients find it")
    pid: int | None = Field(description="of the process that we started")
    pid_started: float | None = Field(description="its start time, so that a reused pid is never signalled")
    container: str | None = Field(description="id of the container that we started")
    command: list[str] = Field(description="how it was started")
    ports: dict[str, int] = Field(description="by purpose: http, grpc, metrics, rest")
    log: str = Field(description="path of its log")
    shm_prefix: str | None = Field(description="prefix of its files in /dev/shm")
    image: str | None = Field(None, description="of its container: the name that it was asked by, and its id")
    gpus: bool = Field(False, description="whether its container was given the machine's GPUs")


class Supervisor(Entry):
    """The process that watches the servers."""

    pid: int = Field(description="of the process")
    pid_started: float = Field(description="its start time, so that a reused pid is never signalled")
    log: str = Field(description="path of its log")


class Servers(Entry):
    """live/servers.json: written as soon as something runs, so that `make stop` always finds it."""

    schema_version: Literal[1]
    servers: list[ServerRecord] = Field(description="what we started")
    supervisor: Supervisor | None = Field(None, description="what watches them")


class Configuration(Entry):
    """How the served model is configured. From `ragged` on: null where nobody knows, as in older files."""

    max_batch_size: int | None = Field(
        description="largest batch that the server may form; null where it does not batch"
    )
    max_queue_delay_us: int | None = Field(
        description="how long a request may wait for others; null where it does not batch"
    )
    instances: int | None = Field(description="instances of the model; null where nobody knows")
    threads: int | None = Field(description="intra-op threads of one instance; null where nobody knows")
    ragged: bool | None = Field(None, description="whether requests of different lengths are joined")
    length_buckets: list[int] | None = Field(
        None, description="lengths that these are padded to; empty: to the longest of a batch"
    )
    preferred_batch_sizes: list[int] | None = Field(None, description="sizes that are sent off at once; empty: any")
    queue_max_size: int | None = Field(None, description="most waiting requests; 0: no limit")
    queue_timeout_us: int | None = Field(None, description="how long a request may wait; 0: as long as it takes")
    batch_threads: int | None = Field(
        None, description="batches that TF Serving runs at a time (`num_batch_threads`); null where it does not batch"
    )
    inter_op_threads: int | None = Field(None, description="operators side by side; 0: the framework decides")
    graph_level: str | None = Field(None, description="ONNX Runtime's graph optimisations; null for other formats")
    tensorrt: str | None = Field(None, description="what TensorRT computes in, or `off`; null for other formats")
    config_sha256: str | None = Field(
        None,
        description="SHA-256 over config.pbtxt without latency buckets, warm-up and the artifact's hash; null on other "
        "engines than Triton",
    )

    @property
    def known(self) -> bool:
        """Whether anybody knows how the model is configured: of a server that is not ours nobody may."""
        return self.instances is not None and self.threads is not None

    def differing(self, other: Configuration) -> list[str]:
        """Names of the settings that differ; what one of the two does not tell, as an older file, is not among them."""
        if not (self.known and other.known):
            return []
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in Configuration.model_fields}
        return [
            name
            for name, (own, theirs) in pairs.items()
            if own != theirs and (name in NULL_SAYS_NO or None not in (own, theirs))
        ]


# Settings of which null is an answer: the server does not batch.
NULL_SAYS_NO = ("max_batch_size", "max_queue_delay_us")


class Endpoint(Entry):
    """One (model, format, engine, protocol) that answered a golden request correctly."""

    id: str = Field(description="`model__format__engine__protocol`: names the variant in every later file")
    model: str = Field(description="name in models.toml")
    version: int = Field(description="artifact version")
    format: str = Field(description="`torchscript` | `savedmodel` | `onnx` | `onnx-fp16` | `onnx-int8`")
    engine: EngineName = Field(description="`triton` | `tfserving` | `kserve`: any other of the KServe v2 protocol")
    engine_kind: EngineKind = Field(description="`real` | `embedded`")
    engine_version: str = Field(description="as the server names it")
    backend_kind: Literal["native", "python"] = Field(description="how the engine runs the model")
    stand_in_for: str | None = Field(description="what the deployment would run instead, or null")
    device: str = Field(description="`cpu` | `gpu:<name>` | `unknown`")
    protocol: Protocol = Field(description="`http` | `grpc` | `rest`")
    address: str = Field(description="host:port")
    served_name: str = Field(description="the model's name on the server")
    served_version: str | None = Field(
        None, description="what requests to a server that is not ours name; empty: no version. null: `version`"
    )
    configuration: Configuration = Field(description="see below")
    conditions: dict[str, str] = Field(
        {}, description="the fairness sheet: whatever else could differ between two engines, by name"
    )
    instance_mib: float | None = Field(
        None, description="memory of one instance, MiB; null where it shares its server's process"
    )
    artifact_sha256: str = Field(description="of the bytes that are served")
    parity_export: Parity = Field(description="after export (file)")
    parity_engine: Parity = Field(
        description="many golden requests at once, so that the engine joins them into batches of its own"
    )
    parity_endpoint: Parity = Field(description="every golden request through this endpoint")
    load_to_ready_s: float = Field(
        description="from the load command (or server start) to ready, of all versions that are served"
    )
    first_request_ms: float = Field(description="the first request over this protocol, connection included")
    payloads: str = Field(description="directory of the serialised requests, relative to live/")
    inputs: list[TensorSpec] = Field([], description="what a request holds; empty in older files")
    outputs: list[TensorSpec] = Field(description="what an answer holds")
    golden: str = Field(description="path of golden.npz, relative to the workspace")
    atol: float = Field(description="absolute tolerance of parity")
    rtol: float = Field(description="relative tolerance of parity")
    slo: Slo = Field(description="objectives of the model")
    accuracy: dict[str, float | int | str] = Field(description="what training stated, copied from the manifest")

    @property
    def asked_version(self) -> int | str:
        """The version that requests name; empty where they name none."""
        return self.version if self.served_version is None else self.served_version


class Endpoints(Entry):
    """live/endpoints.json."""

    schema_version: Literal[1]
    started: str = Field(description="UTC, ISO 8601")
    machine: Machine = Field(description="where the servers run")
    target: str = Field(description="Triton release that production runs")
    fingerprint: str = Field(description="over how models are served, and over which: the same means already up")
    unserved: dict[str, str] = Field(description="exports that are not served, with their status")
    servers: list[ServerRecord] = Field(description="what runs")
    endpoints: list[Endpoint] = Field(description="what can be loaded")
    resident: list[str] = Field(description="every model that shares the machine with the one under test")
    one_at_a_time: bool = Field(
        False, description="Triton holds the formats of one model at a time: the load test loads and unloads them"
    )


class PayloadEntry(Entry):
    """One serialised request."""

    key: str = Field(description="golden request, e.g. `r0007`")
    file: str = Field(description="body, beside the index")
    headers: dict[str, str] = Field(description="HTTP headers that belong to this body")
    rows: int = Field(description="inferences asked for")


class PayloadIndex(Entry):
    """live/payloads/<engine>/<served>/<protocol>/index.json."""

    schema_version: Literal[1]
    protocol: Protocol = Field(description="`http` | `grpc` | `rest`")
    target: str = Field(description="path of the POST, or full name of the gRPC method")
    payloads: list[PayloadEntry] = Field(description="in the order of the golden batch")
