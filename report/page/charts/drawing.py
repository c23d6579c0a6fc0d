"""What the charts of one model share: its variants and stages, their names and looks, hover texts and rows. Pure."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from contract.verdict import Percentile, Report, StageResult, Variant
from report import words
from report.figures.tails import Tails
from report.page.figures import EXACT, Course, Figure, Row, axes, course_of, plain
from report.page.style import styles

Measured = tuple[Variant, StageResult]

P99 = "p99"
CONFIRMATION = "confirmation"
NO_TAILS: Tails = MappingProxyType({})
FROM_ZERO: Figure = {"rangemode": "tozero"}


class Drawing:
    """One model of a report, drawn with one set of names and styles.

    ``tails`` holds the order statistics of the judged stages, of those variants whose records are there.
    ``offered`` holds, by the name under which a person chooses it, who went through a stage; the one that the
    objectives are judged at comes first. A search tries dozens of rates: its probes are not offered, and of its
    confirmations, which have another rate for every variant, the one that counts is, under one name.
    """

    def __init__(self, report: Report, model: str, tails: Tails = NO_TAILS) -> None:
        self.report = report
        self.tails = tails
        self.variants = [item for item in report.variants if item.model == model]
        self.measured: list[Measured] = [(item, stage) for item in self.variants for stage in item.stages]
        self.judged: list[Measured] = [(v, s) for v in self.variants if (s := words.open_stage(report, v)) is not None]
        self.offered = _offered(self.judged, self.measured)
        self.names = words.labels(report)
        self.styles = styles(report)
        self.objective = report.objectives.get(model, {})
        self.slug = f"model-{words.models(report).index(model) + 1}"

    def line(self, item: Variant, stage: StageResult | None = None) -> Figure:
        """How a variant's line looks: dashed for an embedded engine, dotted for an INVALID stage."""
        style = self.styles[item.id]
        invalid = stage is not None and not stage.valid
        return {"color": style.color, "dash": "dot" if invalid else "dash" if style.embedded else "solid"}

    def head(self, item: Variant, stage: StageResult) -> str:
        """The first two lines of a hover text: which variant, which stage, and what to know of both."""
        states = ", ".join(filter(None, [stage.name, stage.payloads, state(item, stage)]))
        return f"<b>{plain(self.names[item.id])}</b><br>{plain(states)}"

    def tick(self, item: Variant) -> str:
        """A variant's name on an axis, in lines that are short enough for a phone."""
        return plain(self.names[item.id]).replace(" on ", " on<br>", 1).replace(" (", "<br>(", 1)

    def rows(self, shown: list[Measured], of: Callable[[StageResult], list[Row]]) -> tuple[Row, ...]:
        """The rows of a table: ``of`` gives those of a stage, between its names and its state."""
        return tuple((self.names[v.id], s.name, *row, state(v, s)) for v, s in shown for row in of(s))

    def over_time(
        self, shown: list[Measured], course: Callable[[StageResult], Course], unit: str, yaxis: Figure = FROM_ZERO
    ) -> Figure:
        """One line per variant over the seconds of a stage."""
        traces, end = [], 1.0
        for item, stage in shown:
            values = course(stage)
            if values:
                note = "" if stage.valid else " (INVALID)"
                text = f"{plain(self.names[item.id])}: %{{y:{EXACT}}} {unit}{note}"
                line, symbol = self.line(item, stage), self.styles[item.id].marker(stage)
                traces.append(course_of(item, line, values, symbol, text))
                end = max(end, values[-1][0])
        layout = axes("Seconds", unit, yaxis)
        layout["xaxis"] |= {"range": [-0.04 * end, 1.04 * end]}
        return {"data": traces, "layout": layout | {"hovermode": "x unified", "height": 280}}

    def settled(self) -> list[Measured]:
        """Everything that is offered, in the order of measuring: what the tables of the stage charts hold."""
        offered = {id(stage) for shown in self.offered.values() for _, stage in shown}
        return [(item, stage) for item, stage in self.measured if id(stage) in offered]


def figure(percentile: Percentile, stage: StageResult) -> str:
    """A percentile in words, with what may be claimed of it."""
    note = words.claim(percentile) if stage.valid else "INVALID"
    return plain(f"{words.number(percentile.value)} ms ({note})")


def claimed(stage: StageResult, key: str) -> Row:
    """A percentile as columns: value, claimable, samples missing, service."""
    latency, service = getattr(stage.latency_ms, key), getattr(stage.service_ms, key)
    return latency.value, latency.upper if stage.valid else None, latency.missing, service.value


def state(item: Variant, stage: StageResult) -> str:
    """What must be said beside a figure."""
    return ", ".join(["embedded"] * (item.engine_kind == "embedded") + ["INVALID"] * (not stage.valid))


def _offered(judged: list[Measured], measured: list[Measured]) -> dict[str, list[Measured]]:
    offered: dict[str, list[Measured]] = {}
    for item, stage in judged:
        offered.setdefault(CONFIRMATION if stage.purpose == "confirm" else _name(stage), []).append((item, stage))
    chosen = {id(stage) for _, stage in judged}
    for item, stage in measured:
        if stage.purpose in ("measure", "knee") and id(stage) not in chosen:
            offered.setdefault(_name(stage), []).append((item, stage))
    return offered


def _name(stage: StageResult) -> str:
    return f"{stage.name}, {stage.payloads}" if stage.payloads else stage.name
