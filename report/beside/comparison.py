"""The comparison: one row per variant, the same columns in every format of the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from contract.verdict import Percentile, Report, StageResult, Variant
from report import words

INVALID = "INVALID"  # the note of a figure whose stage is


@dataclass(frozen=True)
class Cell:
    """One figure of the comparison: its text, a small second line, a key to sort by (None sorts last)."""

    text: str
    note: str = ""
    sort: float | str | None = None


@dataclass(frozen=True)
class Column:
    """One column of the comparison, the same in every format."""

    key: str
    group: str
    title: str
    unit: str
    cell: Callable[[Report, Variant], Cell]
    shown: Callable[[Report], bool] = lambda report: True


def _throughput(report: Report, variant: Variant) -> Cell:
    stages = words.closed_stages(variant)
    if not stages:
        return Cell(words.ABSENT)
    stage = stages[-1]
    marks = ["client-bound"] * stage.client_bound + [INVALID] * (not stage.valid)
    note = ", ".join(filter(None, [stage.name, stage.payloads, *marks]))
    return Cell(words.number(stage.throughput_rps), note, stage.throughput_rps)


def _open(of: Callable[[StageResult], Cell]) -> Callable[[Report, Variant], Cell]:
    def cell(report: Report, variant: Variant) -> Cell:
        stage = words.open_stage(report, variant)
        if stage is None:
            return Cell(words.ABSENT)
        found = of(stage)
        return replace(found, note=", ".join(filter(None, [found.note, _elsewhere(report, variant, stage)])))

    return cell


def _elsewhere(report: Report, variant: Variant, stage: StageResult) -> str:
    """The rate of a figure where it is not the promised one; what a search confirmed has its rate in a column."""
    promised = report.objectives.get(variant.model, {}).get("rate")
    known = report.search is not None or promised is None or stage.target == promised
    return "" if known else f"at {words.plain(stage.target)} req/s"


def _percentile(stage: StageResult, found: Percentile) -> Cell:
    return Cell(words.number(found.value), words.claim(found) if stage.valid else INVALID, found.value)


def _mean(value: float | None) -> Cell:
    return Cell(words.number(value), "not counted" if value is None else "", value)


def _errors(report: Report, variant: Variant) -> Cell:
    total, classes = words.errors(stage for stage in variant.stages if not stage.steers)
    return Cell(f"{total:,}", classes, total) if variant.stages else Cell(words.ABSENT)


def _wrong(report: Report, variant: Variant) -> Cell:
    checked = sum(stage.answers_checked for stage in variant.stages)
    wrong = sum(stage.wrong_answers for stage in variant.stages)
    return Cell(f"{wrong:,}", f"of {checked:,}", wrong) if checked else Cell(words.ABSENT, "none checked")


def _slo(report: Report, variant: Variant) -> Cell:
    tried = "" if report.search else words.max_rate(variant.slo.max_rps)
    return Cell(words.slo(variant), tried, {True: 0, False: 1, None: 2}[variant.slo.passed])


def _max_rate(report: Report, variant: Variant) -> Cell:
    rate = variant.slo.max_rps
    note = ", ".join(filter(None, [words.missed_at(rate), words.LIMITS.get(words.ended_by(rate), "")]))
    return Cell(words.number(rate.value), note, rate.value)


def _cost(report: Report, variant: Variant) -> Cell:
    cost = variant.slo.cost_per_million
    return Cell(words.money(cost, variant.slo.currency), "", cost)


def _sought(report: Report) -> bool:
    return report.search is not None


def _priced(report: Report) -> bool:
    return any(variant.slo.cost_per_million is not None for variant in report.variants)


def _parity(report: Report, variant: Variant) -> Cell:
    found = variant.parity.endpoint
    return Cell(words.difference(found.max_abs), "" if found.passed else "differs", found.max_abs)


def _fact(pick: Callable[[Variant], float | None]) -> Callable[[Report, Variant], Cell]:
    return lambda report, variant: Cell(words.number(pick(variant)), "", pick(variant))


COLUMNS: tuple[Column, ...] = (
    Column("slo", "Objective", "SLO", "", _slo),
    Column("max_rate", "Objective", "Max rate under SLO", "req/s", _max_rate, _sought),
    Column("cost", "Objective", "Cost", "per million", _cost, _priced),
    Column("throughput", "Closed loop", "Throughput", "req/s", _throughput),
    Column("p50", "Open loop, from intended send", "p50", "ms", _open(lambda s: _percentile(s, s.latency_ms.p50))),
    Column("p95", "Open loop, from intended send", "p95", "ms", _open(lambda s: _percentile(s, s.latency_ms.p95))),
    Column("p99", "Open loop, from intended send", "p99", "ms", _open(lambda s: _percentile(s, s.latency_ms.p99))),
    Column("service", "From actual send", "p99", "ms", _open(lambda s: _percentile(s, s.service_ms.p99))),
    Column("queue", "Server means", "Queue", "ms", _open(lambda s: _mean(s.attribution_ms.queue))),
    Column("compute", "Server means", "Compute", "ms", _open(lambda s: _mean(s.attribution_ms.compute))),
    Column("errors", "Errors and answers", "Errors", "", _errors),
    Column("wrong", "Errors and answers", "Wrong answers", "", _wrong),
    Column("parity", "Endpoint parity", "Max |difference|", "", _parity),
    Column("load", "Cold start", "Load to ready", "s", _fact(lambda variant: variant.load_to_ready_s)),
    Column("first", "Cold start", "First request", "ms", _fact(lambda variant: variant.first_request_ms)),
    Column("memory", "Memory", "Per instance", "MiB", _fact(lambda variant: variant.instance_mib)),
)


def columns(report: Report) -> list[Column]:
    """The columns that have something to show."""
    return [column for column in COLUMNS if column.shown(report)]


def row(report: Report, variant: Variant) -> dict[str, Cell]:
    """One row of the comparison by column key."""
    return {column.key: column.cell(report, variant) for column in COLUMNS}
