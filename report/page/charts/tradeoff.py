"""Latency against throughput, one curve per variant, with the objective as a line. Pure."""

from __future__ import annotations

from itertools import groupby

from contract.statistics import PERCENTILES
from contract.verdict import StageResult, Variant
from report import words
from report.page.charts.drawing import P99, Drawing, claimed, figure
from report.page.charts.search import stage_of
from report.page.figures import Chart, Figure, Panel, Point, axes, line_of, log_axis

# How the stages of a kind are drawn. A search's probes make the curve of the open loop: thin, for they only steered.
STEPS = ("probe", "confirm")
LOOKS: dict[str, Figure] = {
    "closed": {"size": 9},
    "probe": {"size": 5, "width": 1},
    "open": {"size": 15, "mode": "markers"},
}


def tradeoff(drawing: Drawing) -> Chart:
    """The judged percentile against the throughput, milliseconds and requests per second."""
    key = judged_percentile(drawing.objective)
    name = words.percentile_name(key)
    shown = [(v, s) for v, s in drawing.measured if getattr(s.latency_ms, key).value is not None]
    traces = [trace for item in drawing.variants for trace in _traces(drawing, item, key)]
    limit = drawing.objective.get(f"{key}_ms")
    axis = log_axis([*(y for trace in traces for y in trace["y"]), limit])
    layout = axes("Throughput, req/s", f"{name} latency, ms", axis)
    if limit:
        text = f"— SLO: {name} ≤ {words.plain(limit)} ms"
        text += f" at {words.plain(drawing.objective['rate'])} req/s" if "rate" in drawing.objective else ""
        layout["shapes"] = [{"type": "line", "y0": limit, "y1": limit, "line": {"color": "var(--limit)"}}]
        layout["annotations"] = [{"text": text, "font": {"color": "var(--limit)"}}]
    note = "Lines follow the closed loop as users are added; a star is the open loop at its set rate."
    if any(stage.purpose == "probe" for _, stage in shown):
        note += " Thin lines follow the rates that the search tried."
    if len({stage.payloads for _, stage in shown if stage.mode == "closed"}) > 1:
        note += f" Of several sets of requests, the lines are those of {_requests(drawing) or 'the golden batch'}."
    return Chart(
        f"{drawing.slug}-tradeoff",
        "Latency against throughput",
        note,
        (Panel(f"{name} latency from the intended send", {"": {"data": traces, "layout": layout}}),),
        (
            "variant",
            "stage",
            "payloads",
            "throughput req/s",
            f"{name} ms",
            f"{name} claimable ms",
            "samples missing",
            f"service {name} ms",
            "state",
        ),
        drawing.rows(shown, lambda s: [(s.payloads or "golden batch", s.throughput_rps, *claimed(s, key))]),
    )


def judged_percentile(objective: dict[str, float]) -> str:
    """p99 where it is promised or nothing else is; otherwise the highest percentile that is promised."""
    promised = [key for key in PERCENTILES if f"{key}_ms" in objective]
    return P99 if P99 in promised or not promised else promised[-1]


def _traces(drawing: Drawing, item: Variant, key: str) -> list[Figure]:
    """A variant's closed loop, its probes and its open stages."""
    telling = {id(stage) for stage in _telling(drawing, item)}
    shown = [stage for stage in item.stages if stage.purpose not in STEPS or id(stage) in telling]
    shown = [stage for stage in shown if stage.mode == "open" or stage.payloads == _requests(drawing)]
    traces = []
    for kind, group in groupby(sorted(shown, key=lambda stage: (_kind(stage), stage.target)), key=_kind):
        points = [
            _point(drawing, item, stage, key) for stage in group if getattr(stage.latency_ms, key).value is not None
        ]
        if points:
            look = dict(LOOKS[kind])
            size, width = look.pop("size"), look.pop("width", 2)
            trace = line_of(item, drawing.line(item) | {"width": width}, points)
            traces.append(trace | look | {"marker": trace["marker"] | {"size": size}})
    return traces


def _requests(drawing: Drawing) -> str:
    """What the closed loop of the curves sends: the golden batch, else the set that was measured first."""
    sent = [stage.payloads for _, stage in drawing.measured if stage.mode == "closed"]
    return "" if "" in sent or not sent else sent[0]


def _telling(drawing: Drawing, item: Variant) -> list[StageResult]:
    """Of a search the stages that say something of the server: no probe that was spoiled, and what is judged."""
    search = drawing.report.search
    found = search.of(item.id) if search else None
    if found is None:
        probes = [stage for stage in item.stages if stage.purpose == "probe" and stage.valid]
    else:
        told = [probe for probe in found.probes if probe.purpose == "probe" and probe.outcome != "unclear"]
        probes = [stage for probe in told if (stage := stage_of(item, probe)) is not None]
    return [*probes, *(stage for owner, stage in drawing.judged if owner is item)]


def _kind(stage: StageResult) -> str:
    return "closed" if stage.mode == "closed" else "probe" if stage.purpose == "probe" else "open"


def _point(drawing: Drawing, item: Variant, stage: StageResult, key: str) -> Point:
    found = getattr(stage.latency_ms, key)
    symbol = drawing.styles[item.id].marker(stage, found)
    if _kind(stage) == "open" and stage.valid:
        symbol = "star-open" if symbol.endswith("-open") else "star"
    bound = " (client-bound)" if stage.client_bound else ""
    rate = f"throughput {words.number(stage.throughput_rps)} req/s{bound}"
    text = f"{drawing.head(item, stage)}<br>{rate}<br>{words.percentile_name(key)} {figure(found, stage)}"
    return Point(stage.throughput_rps, found.value, symbol, text)
