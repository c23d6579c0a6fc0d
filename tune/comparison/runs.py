"""Runs as they lie on disk, for a comparison: the report, and the rounds of every stage where the records are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contract.errors import UsageError
from contract.files import read_model
from contract.records import Observation, Plan, Stage, StageObservation, VariantPlan, read_records
from contract.verdict import Report
from report.assemble import assemble
from report.figures.windows import final
from tune.comparison.replications import Round

SECOND, MILLISECOND = 1e9, 1e6


@dataclass(frozen=True)
class Measured:
    """One stage as it was planned, and its rounds."""

    stage: Stage
    rounds: list[Round]


@dataclass(frozen=True)
class Run:
    """One run. ``stages`` is by variant and name of the stage; None where only the report is there."""

    report: Report
    stages: dict[tuple[str, str], Measured] | None = field(repr=False, default=None)


def read_run(path: Path) -> Run:
    """Read a folder of results, a folder of a report, or a report.json. Raises UsageError where it is none of them."""
    if (path / "plan.json").is_file():
        plan = read_model(path / "plan.json", Plan, "make loadtest")
        return Run(assemble(path), dict(_stages(path, plan)))
    file = path / "report.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{path} is no run: name a folder of results, e.g. results/latest, or a report.json")
    return Run(read_model(file, Report, "python -m report RESULTS"))


def _stages(results: Path, plan: Plan) -> Iterator[tuple[tuple[str, str], Measured]]:
    for variant in plan.variants:
        file = results / f"server-stats-{variant.id}.json"
        if variant.repeat_of is None and file.is_file():
            seen = read_model(file, Observation, "make loadtest")
            yield from _of_variant(variant, seen, read_records(results, variant.id))


def _of_variant(
    variant: VariantPlan, seen: Observation, records: pa.Table
) -> Iterator[tuple[tuple[str, str], Measured]]:
    for number, stage in enumerate(variant.stages):
        if stage.purpose != "measure":
            continue  # it served a search, whose rate is what is compared
        observed = final(seen.stages, number)
        if observed:
            table = records.filter(pc.equal(records.column("stage"), number))
            yield (variant.id, stage.name), Measured(stage, [_round(table, item) for item in observed])


def _round(table: pa.Table, seen: StageObservation) -> Round:
    good = table.filter(pc.equal(table.column("error").cast(pa.string()), ""))
    start, end = seen.window_start_ns, seen.window_end_ns
    intended, done = (good.column(name).to_numpy() for name in ("intended_ns", "done_ns"))
    order = np.argsort(intended, kind="stable")
    due = order[(intended[order] >= start) & (intended[order] < end)]
    answered = done[(done >= start) & (done < end)]
    return Round(
        seconds=(end - start) / SECOND,
        due_s=(intended[due] - start) / SECOND,
        latency_ms=(done[due] - intended[due]) / MILLISECOND,
        answered_s=(answered - start) / SECOND,
    )
