"""comparison.csv: every stage of every variant with all its percentiles, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from contract.statistics import PERCENTILES
from contract.verdict import Percentile, Report, StageResult, Variant

Value = str | float | int | bool | None
Pick = Callable[[Variant, StageResult], Value]
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of one


def _percentile(kind: str, name: str, part: str) -> Pick:
    def pick(variant: Variant, stage: StageResult) -> Value:
        found: Percentile = getattr(getattr(stage, kind), name)
        value: float | None = getattr(found, part)
        return value

    return pick


COLUMNS: dict[str, Pick] = {
    "variant": lambda variant, stage: variant.id,
    "model": lambda variant, stage: variant.model,
    "format": lambda variant, stage: variant.format,
    "engine": lambda variant, stage: variant.engine,
    "engine_kind": lambda variant, stage: variant.engine_kind,
    "protocol": lambda variant, stage: variant.protocol,
    "device": lambda variant, stage: variant.device,
    "rankable": lambda variant, stage: variant.rankable,
    "stage": lambda variant, stage: stage.name,
    "purpose": lambda variant, stage: stage.purpose,
    "mode": lambda variant, stage: stage.mode,
    "target": lambda variant, stage: stage.target,
    "valid": lambda variant, stage: stage.valid,
    "duration_s": lambda variant, stage: stage.duration_s,
    "requests": lambda variant, stage: stage.requests,
    "errors": lambda variant, stage: sum(stage.errors.values()),
    "answers_checked": lambda variant, stage: stage.answers_checked,
    "wrong_answers": lambda variant, stage: stage.wrong_answers,
    "offered_rps": lambda variant, stage: stage.offered_rps,
    "throughput_rps": lambda variant, stage: stage.throughput_rps,
    "client_bound": lambda variant, stage: stage.client_bound,
    "client_cpu": lambda variant, stage: stage.client_cpu,
    **{
        f"{kind}_{name}_{unit}": _percentile(f"{kind}_ms", name, part)
        for kind in ("latency", "service")
        for name in PERCENTILES
        for part, unit in (("value", "ms"), ("upper", "upper_ms"))
    },
    "latency_max_ms": _percentile("latency_ms", "max", "value"),
    "service_max_ms": _percentile("service_ms", "max", "value"),
    "sent_late_p99_ms": _percentile("sent_late_ms", "p99", "value"),
    "client_ms": lambda variant, stage: stage.attribution_ms.client,
    "wire_ms": lambda variant, stage: stage.attribution_ms.wire,
    "queue_ms": lambda variant, stage: stage.attribution_ms.queue,
    "compute_ms": lambda variant, stage: stage.attribution_ms.compute,
    "mean_batch": lambda variant, stage: stage.mean_batch,
}


def render_csv(report: Report) -> str:
    """Return the table: a header, one row per variant and stage; an empty cell where there is no figure."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for variant in report.variants:
        for stage in variant.stages:
            writer.writerow(guarded(pick(variant, stage)) for pick in COLUMNS.values())
    return file.getvalue()


def guarded(value: Value) -> Value:
    """The value as a cell; an apostrophe guards a text that a spreadsheet would take for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
