"""report.json: the contract that others build on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.compare import Parity
from contract.endpoints import Configuration, EngineName
from contract.machine import Machine
from contract.manifest import Entry
from contract.records import Purpose, Seeds
from contract.scaling import Scaling
from contract.search import Limit, Search

Word = Literal["PASS", "FAIL", "INVALID"]


class Percentile(Entry):
    """One percentile of a stage."""

    value: float | None = Field(description="order statistic, milliseconds; null without samples")
    upper: float | None = Field(
        description="what may be claimed at 99 % confidence; null when samples are too few or dependent"
    )
    missing: int = Field(description="requests that a claim still needs; 0 when `upper` is there")


class Percentiles(Entry):
    """Exact percentiles of a stage, milliseconds."""

    p50: Percentile
    p90: Percentile
    p95: Percentile
    p99: Percentile
    p999: Percentile
    p9999: Percentile
    max: Percentile


class Attribution(Entry):
    """Where the mean milliseconds of a request went; null where the server has no such counter."""

    client: float | None = Field(description="from intended to actual send")
    wire: float | None = Field(description="the remainder: network, front end, parsing")
    queue: float | None = Field(description="waiting for a batch")
    compute: float | None = Field(description="inputs, model, outputs; TF Serving: the run of the session")


class Check(Entry):
    """One constraint of validity."""

    name: str = Field(description="e.g. `samples for p99`")
    passed: bool = Field(description="held or not")
    detail: str = Field(description="the figure and the limit")
    recommendation: str | None = Field(description="what to change, where it failed or where something should be known")


class Point(Entry):
    """One window of a stage's course."""

    t_s: float = Field(description="seconds since the window's start")
    throughput_rps: float = Field(description="answers per second")
    p50_ms: float | None = Field(description="median latency of the answers")


class Fault(Entry):
    """Something that happened to the servers while a stage was measured."""

    t_s: float = Field(description="seconds of the windows so far")
    what: str = Field(description="`died`, `restarted`, `reloaded`, `gave up`, `rolled`, `refused`")
    detail: str = Field(description="a sentence: why, or which version")


class Used(Entry):
    """How much of something was used in a window."""

    mean: float = Field(description="over the window")
    most: float = Field(description="in half a second")


class Slope(Entry):
    """How a figure changed with time, by least squares, with its 99 % interval; MiB per hour."""

    mib_per_hour: float = Field(description="estimate")
    low: float = Field(description="lower end of the interval")
    high: float = Field(description="upper end of the interval")


class GpuUse(Entry):
    """One GPU in a stage's windows."""

    name: str = Field(description="`gpu 0`, or `triton gpu <uuid>` where only the server could see it")
    utilization: Used | None = Field(description="share of the time that it was busy")
    memory_mib: float | None = Field(description="most in use, MiB")
    power_w: Used | None = Field(description="watts")
    temperature_c: float | None = Field(description="highest, degrees Celsius")
    clock_mhz: float | None = Field(description="lowest clock of its multiprocessors, MHz: heat and power lower it")


class ServerPoint(Entry):
    """One moment of the server's course."""

    t_s: float = Field(description="seconds of the windows so far")
    cpu: float | None = Field(description="cores that the server used")
    load_cpu: float | None = Field(description="cores that the load generator used")
    memory_mib: float | None = Field(description="resident memory of the server, MiB")


class ServerSide(Entry):
    """What a server used while a stage was measured, with the load generator and the machine beside it."""

    server: str = Field(description="`triton` | `tfserving` | `kserve`")
    cpu: Used | None = Field(description="cores that the server used")
    load_cpu: Used | None = Field(description="cores that the load generator used, all its processes")
    machine_cpu: Used | None = Field(description="share of all cores that was busy where the load comes from")
    busiest_core: float | None = Field(description="share of the time that the busiest core was busy")
    cores: int | None = Field(None, description="of the machine that the load comes from; null where not sampled")
    other_cpu: float | None = Field(None, description="cores that neither server nor load generator used, mean")
    steal: float | None = Field(description="share of all cores that a hypervisor kept from the machine")
    reported_cpu: Used | None = Field(description="share of its machine's cores that was busy, by Triton's metrics")
    memory_begin_mib: float | None = Field(description="resident, MiB; pages that processes share count in each")
    memory_end_mib: float | None = Field(description="resident, MiB; pages that processes share count in each")
    memory_slope: Slope | None = Field(description="null where none may be claimed; `absent` says why")
    private_mib: float | None = Field(description="resident at the end, without files and shared memory, MiB")
    threads: int | None = Field(description="most")
    connections: int | None = Field(description="most established TCP connections")
    pending: Used | None = Field(description="requests that waited for a batch, by Triton's metrics page")
    restarts: int = Field(description="how often the server was started again in the windows")
    gpus: list[GpuUse] = Field(description="empty where none could be read; `absent` says why")
    absent: dict[str, str] = Field(description="figure -> why it is not there")
    course: list[ServerPoint] = Field(description="over time, at most 60 points")


class Slice(Entry):
    """One of the consecutive parts of a long stage."""

    t_s: float = Field(description="its middle, seconds since the window's start")
    requests: int = Field(description="intended in it")
    failed: int = Field(description="of these, without a good answer")
    p99_ms: float | None = Field(description="from the intended send; null below 500 good answers")


class Endurance(Entry):
    """Whether a server holds over a long stage: memory, tail latency, errors."""

    memory_slope: Slope | None = Field(description="of the server over the whole stage, significant or not")
    p99_change: float | None = Field(description="last p99 against the first, relative")
    slices: list[Slice] = Field(description="equal parts of the stage in order")
    absent: dict[str, str] = Field(description="figure -> why it is not there")


class StageResult(Entry):
    """One stage of one variant."""

    name: str = Field(description="as in the plan")
    mode: Literal["closed", "open"] = Field(description="closed loop or open loop")
    purpose: Purpose = Field("measure", description="as in the plan: part of a search, or not")
    payloads: str = Field("", description="as in the plan: what it sends; empty: the golden batch's single requests")
    target: float = Field(description="closed: users; open: requests per second, the mean where they change")
    judged: bool = Field(
        True,
        description="whether the objectives are judged on it: a planned steady rate, Poisson arrivals, known answers",
    )
    offered_rps: float | None = Field(description="open: intended sends per second of the window")
    duration_s: float = Field(description="measured window")
    valid: bool = Field(description="every check passed")
    reasons: list[str] = Field(description="why it is not valid")
    checks: list[Check] = Field(description="one line each")
    notes: list[str] = Field(description="what could mislead, beside the figure")
    client_bound: bool = Field(description="the load generator came near its own limit: throughput is a lower bound")
    requests: int = Field(description="intended within the window")
    errors: dict[str, int] = Field(description="by class")
    throughput_rps: float = Field(description="good answers per second of the window")
    latency_ms: Percentiles = Field(description="from the intended send")
    service_ms: Percentiles = Field(description="from the actual send")
    sent_late_ms: Percentiles = Field(description="from the intended to the actual send")
    attribution_ms: Attribution = Field(description="means")
    mean_batch: float | None = Field(description="rows per execution, from the server's counters")
    client_cpu: float | None = Field(description="share of one core")
    answers_checked: int = Field(description="sampled answers compared with the golden batch")
    wrong_answers: int = Field(description="of these, out of tolerance")
    course: list[Point] = Field(description="over time")
    faults: list[Fault] = Field([], description="what happened to the servers in the windows, in the order of time")
    server_side: ServerSide | None = Field(None, description="null where the servers were not sampled")
    endurance: Endurance | None = Field(None, description="null for stages below a minute")

    @property
    def of_slo(self) -> bool:
        """Whether the objectives are judged on this stage."""
        return self.mode == "open" and self.judged

    @property
    def steers(self) -> bool:
        """Whether it only steered a search, beyond what the server can do as a rule: it says nothing by itself."""
        return self.purpose in ("knee", "probe")


class Overload(Entry):
    """What became of a variant under more than it can do."""

    stage: str = Field(description="the stage above the maximum")
    maximum_rps: float = Field(description="the most that was answered per second in a closed stage of the plan")
    offered_rps: float = Field(description="requests per second that were asked for")
    goodput_rps: float = Field(description="good answers per second")
    refused: int = Field(description="requests without a good answer")
    recovery_s: float | None = Field(description="seconds until it was itself again; null when it was not in time")
    sentence: str = Field(description="all of it in words")


class MaxRate(Entry):
    """The highest rate that was seen to keep the objectives: of the rates that were set, or of those that were sought.

    Of a search it is the rate of its confirmation, and only if that keeps the objectives on its records.
    """

    value: float | None = Field(description="requests per second; null when none was")
    low: float | None = Field(description="same as value: it was measured")
    high: float | None = Field(description="lowest rate that was seen to fail; null when none was tried")
    limited_by: Limit = Field("", description="what a search met above `value` (search.json); empty without one")
    kept_waiting: bool = Field(False, description="the load generator had time: other work kept it from sending")


class SloResult(Entry):
    """The objectives of one variant."""

    passed: bool | None = Field(description="null when no valid stage judged the promised rate")
    max_rps: MaxRate = Field(description="bounds on the rate under the SLO")
    cost_per_million: float | None = Field(description="null with the reason in cost_reason")
    currency: str | None = Field(None, description="of the cost; null without one")
    cost_reason: str = Field(description="why there is no cost, or how it was computed")
    reasons: list[str] = Field(description="one sentence per objective")


class VariantParity(Entry):
    """Against the trained model, three times."""

    export: Parity = Field(description="the file")
    engine: Parity | None = Field(
        description="loaded in the serving engine, which joins requests into batches of its own; null in older results"
    )
    endpoint: Parity = Field(description="through the running endpoint")


class Variant(Entry):
    """One (model, format, engine, protocol, configuration)."""

    id: str = Field(description="model, format, engine and protocol, joined by `__`")
    model: str
    format: str
    engine: EngineName
    engine_kind: Literal["real", "embedded"]
    engine_version: str
    backend_kind: Literal["native", "python"]
    stand_in_for: str | None
    device: str
    protocol: Literal["http", "grpc", "rest"]
    configuration: Configuration
    conditions: dict[str, str] = Field({}, description="the fairness sheet")
    instance_mib: float | None = Field(None, description="memory of one instance, MiB")
    artifact_sha256: str
    parity: VariantParity
    load_to_ready_s: float
    first_request_ms: float
    complete: bool = Field(description="false when the run was interrupted before its stages were through")
    rankable: bool = Field(description="real engine, parity passed, valid open-loop stage")
    rank_class: str = Field(description="`<device>, real` or `<device>, stand-ins`: winners are sought among equals")
    not_ranked_because: list[str] = Field(description="empty when rankable")
    stages: list[StageResult]
    overload: Overload | None = Field(None, description="where the load plan went beyond the maximum")
    slo: SloResult


class Winner(Entry):
    """The best variant of one model within one class of equals."""

    model: str
    rank_class: str = Field(description="the equals among which it won")
    variant: str | None = Field(description="null for a tie")
    tied: list[str] = Field(description="closer to the best than the noise, or all alike where it was not measured")
    passed: bool = Field(description="keeps its objectives")
    sentence: str = Field(description="with the reason")


class Noise(Entry):
    """The same variant measured twice (A/A): a smaller difference between variants means nothing."""

    variant: str | None = Field(description="null when nothing was repeated")
    p99_relative: float | None = Field(description="|difference| of the open-loop p99, relative")
    p50_relative: float | None = Field(description="|difference| of the open-loop p50, relative")
    max_rps_relative: float | None = Field(
        None, description="|difference| of the highest rate under the objectives, sought twice, relative"
    )
    low: float | None = Field(description="99 % interval of the relative difference of mean latency")
    high: float | None = Field(description="99 % interval of the relative difference of mean latency")
    p50_low: float | None = Field(None, description="99 % interval of the relative difference of p50")
    p50_high: float | None = Field(None, description="99 % interval of the relative difference of p50")
    p99_low: float | None = Field(None, description="the same of p99; null where requests were too few for one")
    p99_high: float | None = Field(None, description="the same of p99")
    reason: str = Field(description="how it was measured, or why not")


class Report(Entry):
    """reports/<id>/report.json."""

    schema_version: Literal[1]
    id: str
    started: str
    machine: Machine
    versions: dict[str, str]
    target: str = Field(description="Triton release that production runs")
    verdict: Word = Field(description="INVALID: not to be trusted, or nothing to judge")
    sentence: str = Field(description="the verdict in words")
    warnings: list[str] = Field(description="what could mislead about every figure of the run")
    objectives: dict[str, dict[str, float]] = Field(description="by model, by the keys of its `slo`: rate, p99_ms, …")
    accuracy: dict[str, dict[str, float | int | str]] = Field(description="by model, as training stated it")
    unserved: dict[str, str] = Field(description="exports that are not served, with their status")
    resident: list[str] = Field(description="models that shared the machine with the one under test")
    variants: list[Variant]
    winners: list[Winner]
    noise: Noise
    search: Search | None = Field(None, description="how the highest rates were sought; null where they were not")
    scaling: Scaling | None = Field(None, description="how throughput grew with instances; null where it was not tried")
    load_plan: str = Field("", description="name of the load plan; empty: the stages of `[load]`, or a search")
    command: list[str] = Field([], description="what was typed to measure, word by word; empty in older results")
    seeds: Seeds | None = Field(None, description="what schedule, payloads and samples were drawn by; null if older")
    advice: dict[str, str] = Field({}, description="by model: what to serve and why, in words")
    generator: list[str] = Field([], description="what was certified about the load generator, in words")
