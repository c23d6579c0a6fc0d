"""Report -> Recommendation: the best rankable variant of each model that keeps its objectives. Pure."""

from __future__ import annotations

from contract.recommendation import Recommendation, Recommended
from contract.verdict import Report, Variant
from report.beside.caveats import ELSEWHERE
from report.judging.advice import order, rankable
from report.judging.equal_load import stage_at
from report.judging.merit import merit_of


def recommend(report: Report) -> Recommendation:
    """What to deploy: per model the best rankable variant that keeps its objectives.

    Variants that would be deployed just as they were measured come before stand-ins.
    """
    best: dict[str, Variant] = {}
    for model in sorted({variant.model for variant in report.variants}):
        kept = [v for v in report.variants if v.model == model and v.slo.passed]
        merit = merit_of(report.noise, report.search, rankable(kept), report.objectives.get(model, {}))
        candidates = order(kept, merit)
        if candidates:
            best[model] = candidates[0]
    return Recommendation(
        schema_version=2,
        report=report.id,
        target=report.target,
        machine=None if any(text.startswith(ELSEWHERE) for text in report.warnings) else report.machine,
        resident=report.resident,
        warnings=report.warnings,
        models={model: _recommended(item, report.objectives[model]) for model, item in best.items()},
    )


def _recommended(item: Variant, objectives: dict[str, float]) -> Recommended:
    stage = stage_at(item, item.slo.max_rps.value)
    server = stage.server_side if stage else None
    queue_ms = stage.attribution_ms.queue if stage else None
    resident = [
        mib
        for other in item.stages
        if other.server_side
        for mib in (other.server_side.memory_begin_mib, other.server_side.memory_end_mib)
        if mib is not None
    ]
    return Recommended(
        variant=item.id,
        format=item.format,
        engine=item.engine,
        engine_kind=item.engine_kind,
        engine_version=item.engine_version,
        backend_kind=item.backend_kind,
        stand_in_for=item.stand_in_for,
        device=item.device,
        protocol=item.protocol,
        configuration=item.configuration,
        artifact_sha256=item.artifact_sha256,
        objectives=objectives,
        max_rps=item.slo.max_rps.value,
        limited_by=item.slo.max_rps.limited_by,
        p99_ms=stage.latency_ms.p99.value if stage else None,
        queue_us=None if queue_ms is None else round(1000 * queue_ms, 1),
        server_cores=server.cpu.mean if server and server.cpu else None,
        server_mib=max(resident, default=None),
        load_to_ready_s=item.load_to_ready_s,
    )
