"""The report's charts as plain plotly figure data: pure functions from a Report that need no plotly.

A colour is written ``var(--name)``: the page resolves it from its style sheet, so charts follow the theme.
What all figures share (fonts, grid, marker borders) is the template in report.js. One look everywhere: hue is
format and engine, shape and shade are the protocol, a filled marker may be claimed at 99 % confidence, hollow
ones may not, a dashed line is an embedded engine, a cross is an INVALID stage.
"""

from __future__ import annotations

from collections.abc import Callable

from contract.statistics import PERCENTILES
from contract.verdict import Percentile, Report, ServerPoint, StageResult, Variant
from report import words
from report.figures import Chart, Figure, Panel, Point, Row, axes, line_of, log_axis, objective_mark, plain, tail
from report.style import styles

Measured = tuple[Variant, StageResult]
Course = list[tuple[float, float | None]]

PARTS = ("client", "wire", "queue", "compute")
P99 = "p99 ms", "p99 claimable ms", "samples missing", "service p99 ms"
FROM_ZERO: Figure = {"rangemode": "tozero"}
# A change of a few MiB is no news; the axis shows at least these.
CHANGE: Figure = {"autorangeoptions": {"include": [-10, 10]}}
MOST_MARKERS = 20  # of a line; more would hide it
TAIL = "percentile", "latency ms", "claimable ms", "samples missing", "service ms"


class Charts:
    """The charts of one model of a report, drawn with one set of names and styles."""

    def __init__(self, report: Report, model: str) -> None:
        self.report = report
        self.variants = [item for item in report.variants if item.model == model]
        self.measured: list[Measured] = [(item, stage) for item in self.variants for stage in item.stages]
        self.judged = [(v, s) for v in self.variants if (s := words.open_stage(report, v)) is not None]
        self.names = words.labels(report)
        self.styles = styles(report)
        self.objective = report.objectives.get(model, {})
        self.slug = f"model-{words.models(report).index(model) + 1}"

    def all(self) -> list[Chart]:
        """Every chart, or none when nothing was measured."""
        if not self.measured:
            return []
        return [self.tradeoff(), self.tail(), self.attribution(), self.course(), *self.server()]

    def tradeoff(self) -> Chart:
        """p99 latency against throughput."""
        shown = [(item, stage) for item, stage in self.measured if stage.latency_ms.p99.value is not None]
        traces = []
        for item in self.variants:
            stages = sorted((s for v, s in shown if v is item), key=lambda s: s.target)
            for is_open in (False, True):
                points = [self._tradeoff_point(item, s) for s in stages if (s.mode == "open") == is_open]
                if points:
                    trace = line_of(item, self._line(item), points)
                    look = {"mode": "markers"} if is_open else {}
                    traces.append(trace | look | {"marker": trace["marker"] | {"size": 15 if is_open else 9}})
        limit = self.objective.get("p99_ms")
        axis = log_axis([*(stage.latency_ms.p99.value for _, stage in shown), limit])
        layout = axes("Throughput, req/s", "p99 latency, ms", axis)
        if limit:
            text = f"— SLO: {words.objective(self.objective).split(', ')[0]}"
            layout["shapes"] = [{"type": "line", "y0": limit, "y1": limit, "line": {"color": "var(--limit)"}}]
            layout["annotations"] = [{"text": text, "font": {"color": "var(--limit)"}}]
        return Chart(
            f"{self.slug}-tradeoff",
            "Latency against throughput",
            "Lines follow the closed loop as users are added; a star is the open loop at its set rate.",
            (Panel("p99 latency from the intended send", {"": {"data": traces, "layout": layout}}),),
            ("variant", "stage", "throughput req/s", *P99, "state"),
            self._rows(shown, lambda s: [(s.throughput_rps, *_claimed(s, "p99"))]),
        )

    def _tradeoff_point(self, item: Variant, stage: StageResult) -> Point:
        p99 = stage.latency_ms.p99
        symbol = self.styles[item.id].marker(stage, p99)
        if stage.mode == "open" and stage.valid:
            symbol = "star-open" if symbol.endswith("-open") else "star"
        rate = f"throughput {words.number(stage.throughput_rps)} req/s"
        bound = " (client-bound)" if stage.client_bound else ""
        text = f"{self._head(item, stage)}<br>{rate}{bound}<br>p99 {_figure(p99, stage)}"
        return Point(stage.throughput_rps, p99.value, symbol, text)

    def tail(self) -> Chart:
        """Open-loop percentiles, latency and service, on a tail axis: each nine is as wide as the last."""
        limit = self.objective.get("p99_ms")
        keys = PERCENTILES
        both = [kind for _, stage in self.judged for kind in (stage.latency_ms, stage.service_ms)]
        axis = log_axis([*(getattr(kind, key).value for kind in both for key in keys), limit])
        names = [words.percentile_name(key) for key in keys]
        ticks = {
            "tickvals": [tail(p) for p in keys.values()],
            "ticktext": [f"<br>{name}" if name == "p95" else name for name in names],  # p90 is close by
            "tickangle": 0,
            "range": [0.1, 4.2],
        }
        layout = axes("Percentile", "ms", axis) | {"hovermode": "x unified"}
        layout["xaxis"] |= ticks
        latency = [self._tail_trace(item, stage, "latency_ms") for item, stage in self.judged]
        service = [self._tail_trace(item, stage, "service_ms") for item, stage in self.judged]
        if limit:
            latency.append(objective_mark(limit))
        return Chart(
            f"{self.slug}-tail",
            "Open-loop latency percentiles",
            "Latency counts from the intended send, so a wait for its turn counts too; "
            "service counts from the actual send. The bar at p99 is the objective.",
            (
                Panel("Latency, from the intended send", {"": {"data": latency, "layout": layout}}),
                Panel("Service, from the actual send", {"": {"data": service, "layout": layout}}),
            ),
            ("variant", "stage", *TAIL, "state"),
            self._rows(self.judged, lambda s: [(words.percentile_name(k), *_claimed(s, k)) for k in keys]),
        )

    def _tail_trace(self, item: Variant, stage: StageResult, kind: str) -> Figure:
        style, name = self.styles[item.id], plain(self.names[item.id])
        found = [(p, getattr(getattr(stage, kind), key)) for key, p in PERCENTILES.items()]
        points = [
            Point(tail(p), v.value, style.marker(stage, v), f"{name}: {_figure(v, stage)}")
            for p, v in found
            if v.value is not None
        ]
        return line_of(item, self._line(item, stage), points)

    def attribution(self) -> Chart:
        """Where the mean milliseconds went, one bar per variant."""
        return Chart(
            f"{self.slug}-attribution",
            "Where the time went",
            "Mean milliseconds of a request: client is from intended to actual send, queue and compute are "
            "the server's own counters, wire is the remainder. Hatched: embedded engine or INVALID stage.",
            (Panel("Mean of the stage", {name: self._bars(name) for name in self._stage_names()}),),
            ("variant", "stage", *(f"{part} ms" for part in PARTS), "state"),
            self._rows(self.measured, lambda s: [tuple(getattr(s.attribution_ms, part) for part in PARTS)]),
        )

    def _bars(self, stage_name: str) -> Figure:
        found = [(item, stage) for item, stage in self.measured if stage.name == stage_name]
        places = list(range(len(found)))
        hatches = ["/" if v.engine_kind == "embedded" or not s.valid else "" for v, s in found]
        traces = []
        for part in PARTS:
            values = [getattr(stage.attribution_ms, part) for _, stage in found]
            heads = [f"{self._head(item, stage)}<br>{part}" for item, stage in found]
            trace: Figure = {"type": "bar", "orientation": "h", "name": part, "x": values, "y": places}
            trace["marker"] = {"color": f"var(--part-{part})", "pattern": {"shape": hatches}}
            trace["hovertext"] = [f"{h} {words.number(v)} ms" for h, v in zip(heads, values, strict=True)]
            traces.append(trace)
        ticks = [self._tick(item, stage) for item, stage in found]
        axis = {"tickvals": places, "ticktext": ticks, "autorange": "reversed", "showgrid": False}
        layout = axes("ms", "", axis | {"automargin": True})
        return {"data": traces, "layout": layout | {"barmode": "stack", "height": 96 + 52 * len(found)}}

    def _tick(self, item: Variant, stage: StageResult) -> str:
        name = plain(self.names[item.id]).replace(" on ", " on<br>", 1)
        lines = [name] if stage.valid else [name, "INVALID"]
        lines += ["not counted by the server"] if stage.attribution_ms.queue is None else []
        return "<br>".join(lines)

    def course(self) -> Chart:
        """Throughput and median over the seconds of a stage."""
        names = self._stage_names()
        rates = {
            name: self._lines(name, lambda s: [(p.t_s, p.throughput_rps) for p in s.course], "req/s") for name in names
        }
        medians = {name: self._lines(name, lambda s: [(p.t_s, p.p50_ms) for p in s.course], "ms") for name in names}
        return Chart(
            f"{self.slug}-course",
            "Over time",
            "A stage that has settled is flat.",
            (Panel("Throughput", rates), Panel("Median latency (p50)", medians)),
            ("variant", "stage", "s", "throughput req/s", "p50 ms", "state"),
            self._rows(self.measured, lambda s: [(p.t_s, p.throughput_rps, p.p50_ms) for p in s.course]),
        )

    def server(self) -> list[Chart]:
        """What the server and the load generator used over the seconds of a stage; none where nothing was sampled."""
        sampled = [(item, stage) for item, stage in self.measured if stage.server_side and stage.server_side.course]
        if not sampled:
            return []
        stages = {stage.name for _, stage in sampled}
        names = [name for name in self._stage_names() if name in stages]
        panels = [
            Panel(title, {name: self._lines(name, course, unit, axis) for name in names})
            for title, course, unit, axis in (
                ("Server CPU", lambda s: [(p.t_s, p.cpu) for p in _server_course(s)], "cores", FROM_ZERO),
                ("Load generator CPU", lambda s: [(p.t_s, p.load_cpu) for p in _server_course(s)], "cores", FROM_ZERO),
                ("Server memory, change since the beginning", _memory_change, "MiB", CHANGE),
            )
        ]
        columns = ("variant", "stage", "s", "server cores", "load cores", "server memory MiB", "state")
        return [
            Chart(
                f"{self.slug}-server",
                "What the server used",
                "Sampled twice a second. A server at its limit is flat at as many cores as it may have; memory that "
                "climbs through a whole stage is a leak or a cache.",
                tuple(panels),
                columns,
                self._rows(sampled, lambda s: [(p.t_s, p.cpu, p.load_cpu, p.memory_mib) for p in _server_course(s)]),
            )
        ]

    def _lines(
        self, stage_name: str, course: Callable[[StageResult], Course], unit: str, yaxis: Figure = FROM_ZERO
    ) -> Figure:
        traces, end = [], 1.0
        for item, stage in self.measured:
            values = course(stage) if stage.name == stage_name else []
            if values:
                symbol, note = self.styles[item.id].marker(stage), "" if stage.valid else " (INVALID)"
                name = plain(self.names[item.id])
                points = [Point(t, v, symbol, f"{name}: {words.number(v)} {unit}{note}") for t, v in values]
                trace = line_of(item, self._line(item, stage), points)
                traces.append(trace | {"marker": trace["marker"] | {"size": 6, "maxdisplayed": MOST_MARKERS}})
                end = max(end, values[-1][0])
        layout = axes("Seconds", unit, yaxis)
        layout["xaxis"] |= {"range": [-0.04 * end, 1.04 * end]}
        return {"data": traces, "layout": layout | {"hovermode": "x unified", "height": 280}}

    def _line(self, item: Variant, stage: StageResult | None = None) -> Figure:
        style = self.styles[item.id]
        invalid = stage is not None and not stage.valid
        return {"color": style.color, "dash": "dot" if invalid else "dash" if style.embedded else "solid"}

    def _rows(self, shown: list[Measured], of: Callable[[StageResult], list[Row]]) -> tuple[Row, ...]:
        """The rows of a table: ``of`` gives those of a stage, between its names and its state."""
        return tuple((self.names[v.id], s.name, *row, _state(v, s)) for v, s in shown for row in of(s))

    def _head(self, item: Variant, stage: StageResult) -> str:
        states = ", ".join(filter(None, [stage.name, _state(item, stage)]))
        return f"<b>{plain(self.names[item.id])}</b><br>{plain(states)}"

    def _stage_names(self) -> list[str]:
        """Every stage, the one that the objective is judged at first."""
        return list(dict.fromkeys(stage.name for _, stage in [*self.judged, *self.measured]))


def _claimed(stage: StageResult, key: str) -> Row:
    latency, service = getattr(stage.latency_ms, key), getattr(stage.service_ms, key)
    return latency.value, latency.upper if stage.valid else None, latency.missing, service.value


def _figure(percentile: Percentile, stage: StageResult) -> str:
    note = words.claim(percentile) if stage.valid else "INVALID"
    return plain(f"{words.number(percentile.value)} ms ({note})")


def _state(item: Variant, stage: StageResult) -> str:
    return ", ".join(["embedded"] * (item.engine_kind == "embedded") + ["INVALID"] * (not stage.valid))


def _server_course(stage: StageResult) -> list[ServerPoint]:
    return stage.server_side.course if stage.server_side else []


def _memory_change(stage: StageResult) -> Course:
    """The server's memory less what it was at first: variants of any size, and a leak among them, fit one chart."""
    known = [(point.t_s, point.memory_mib) for point in _server_course(stage) if point.memory_mib is not None]
    return [(t_s, mib - known[0][1]) for t_s, mib in known]
