"""What the files of one run say of a variant: its stages as they were measured, and what the noise is taken from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contract.certificate import Certificates
from contract.events import Event, read_events
from contract.files import read_model
from contract.parts import Parts
from contract.records import Observation, Plan, VariantPlan, part_files
from contract.samples import read_samples
from contract.statistics import Floats
from contract.verdict import Overload, StageResult
from report.figures.answers import Judged, judge
from report.figures.certificate import read_certificates, uncertified
from report.figures.claim import confidence
from report.figures.faults import faults
from report.figures.origin import origin
from report.figures.overload import overload, part_of_maximum, recovered_after, triple
from report.figures.series import Samples
from report.figures.summary import course_of_requests, good_latencies, summarize
from report.figures.windows import final


@dataclass(frozen=True)
class Measured:
    """One variant's stages, by their index in its plan."""

    by_number: dict[int, StageResult] = field(default_factory=dict)
    complete: bool = False
    open_latencies: dict[str, Floats] = field(default_factory=dict)  # milliseconds of judged stages, as time went on
    rows: dict[int, float] = field(default_factory=dict)  # inferences per request of the judged stages
    overload: Overload | None = None
    confidence: dict[int, float | None] = field(default_factory=dict)  # of the answer that a confirmation gives

    @property
    def stages(self) -> list[StageResult]:
        """Those that were measured, in order."""
        return list(self.by_number.values())


@dataclass(frozen=True)
class Context:
    """What was measured beside the requests of a run."""

    certificates: Certificates
    uncertified: str  # why an endpoint has no certificate, where it has none
    samples: pa.Table
    events: list[Event]

    @classmethod
    def of(cls, results: Path, plan: Plan) -> Context:
        """Read it from a run's folder."""
        events = read_events(results / "events.jsonl")
        return cls(read_certificates(results), uncertified(plan, origin(results, plan)), read_samples(results), events)


def measure(results: Path, item: VariantPlan, context: Context, compared: bool = False) -> Measured:
    """Read one variant's records and take its stages' figures; nothing where it was never begun.

    Only of a variant that is ``compared`` with itself (A/A) the latencies are kept.
    """
    path = results / f"server-stats-{item.id}.json"
    if not path.is_file():
        return Measured()
    observation = read_model(path, Observation, "make loadtest")
    parts = Parts(results, item.id)
    judged = judge(results, item.id, item.endpoint)
    samples = Samples(context.samples, item.endpoint.engine) if len(context.samples) else None
    certificate = context.certificates.of(item.endpoint.id)
    stages: dict[int, StageResult] = {}
    rows: dict[int, float] = {}
    confident: dict[int, float | None] = {}
    latencies: dict[str, Floats] = {}
    for number, stage in enumerate(item.stages):
        rounds = final(observation.stages, number)
        if not rounds:
            continue
        found, records = judged.get(number, Judged()), parts.stage(number)
        result = summarize(stage, rounds, records, found, item.endpoint.slo, samples, certificate, context.uncertified)
        stages[number] = result.model_copy(update={"faults": faults(context.events, item.endpoint, rounds)})
        if result.of_slo:
            rows[number] = _rows_per_request(results, item, number)
        if stage.purpose == "confirm":
            confident[number] = confidence(good_latencies(records, number, rounds), item.endpoint.slo)
        if compared and result.of_slo:
            latencies[stage.name] = good_latencies(records, number, rounds)
    shown = _overload(item, stages, parts, observation)
    return Measured(stages, observation.complete, latencies, rows, shown, confident)


def _rows_per_request(results: Path, item: VariantPlan, number: int) -> float:
    """Inferences that a request of a stage asked for, in the mean; the golden batch is sent one by one."""
    if not item.stages[number].payloads:
        return 1.0
    files = part_files(results, item.id)
    rows = pq.read_table(files, columns=["rows"], filters=[("stage", "=", number)]).column("rows") if files else []
    return float(pc.mean(rows).as_py()) if len(rows) else 1.0


def _overload(
    item: VariantPlan, stages: dict[int, StageResult], parts: Parts, observation: Observation
) -> Overload | None:
    """What a plan that goes beyond the maximum showed, once all three of its stages were measured."""
    places = triple([stage.shape for stage in item.stages])
    if places is None or any(place not in stages for place in places):
        return None
    before, above, after = (stages[place] for place in places)
    last = final(observation.stages, places[2])
    intended_s, latency_ms, good = course_of_requests(parts.stage(places[2]), places[2], last)
    recovery = recovered_after(intended_s, latency_ms, good, before.latency_ms.p50.value or 0.0)
    return overload(before, above, after, part_of_maximum(item.stages[places[1]].shape) or 1.0, recovery)
