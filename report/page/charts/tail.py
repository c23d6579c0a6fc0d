"""Open-loop latencies on a tail axis, corrected and uncorrected in one picture. Pure.

The lines are order statistics of the records, step by step (`report/figures/tails.py`). Where the records are not
there, as when an old report is drawn again, they join the percentiles, and the chart says so.
"""

from __future__ import annotations

from contract.statistics import PERCENTILES
from contract.verdict import StageResult, Variant
from report import words
from report.figures.tails import Curve, Tail
from report.page.charts.drawing import Drawing, claimed, figure
from report.page.figures import Chart, Figure, Panel, Point, axes, line_of, log_axis, objective_marks, plain, tail

MEASURED = "Lines are the requests themselves by their rank, up to 200 of each, markers the percentiles. "
JOINED = "The lines only join the percentiles that the markers show, for the records of this run were not there. "
MEANING = (
    "Latency counts from the intended send, so that a wait for its turn counts too; the thin line of the same colour "
    "is service, from the actual send. A bar is an objective."
)
SHOWN = 0.2  # the share from which on the axis goes
COLUMNS = "percentile", "latency ms", "claimable ms", "samples missing", "service ms"


def percentile_tail(drawing: Drawing) -> Chart:
    """Latency from the intended send, and service from the actual one: what lies between is waiting for the client."""
    limits = {key: limit for key in PERCENTILES if (limit := drawing.objective.get(f"{key}_ms")) is not None}
    both = [kind for _, stage in drawing.judged for kind in (stage.latency_ms, stage.service_ms)]
    named = [getattr(kind, key).value for kind in both for key in PERCENTILES]
    seen = [ms for _, _, drawn in _drawn(drawing) for share, ms in (*drawn.latency, *drawn.service) if share > SHOWN]
    axis = log_axis([*named, *seen, *limits.values()])
    names = [words.percentile_name(key) for key in PERCENTILES]
    layout = axes("Percentile", "ms", axis) | {"hovermode": "x unified"}
    layout["xaxis"] |= {
        "tickvals": [tail(p) for p in PERCENTILES.values()],
        "ticktext": [f"<br>{name}" if name == "p95" else name for name in names],  # p90 is close by
        "tickangle": 0,
        "range": [tail(SHOWN), 4.2],
    }
    known = all(item.id in drawing.tails for item, _ in drawing.judged)
    traces = [_service(drawing, item, stage) for item, stage in drawing.judged]
    traces += [_curve(drawing, item, stage, drawn.latency) for item, stage, drawn in _drawn(drawing)]
    traces += [_latency(drawing, item, stage) for item, stage in drawing.judged]
    traces += objective_marks(limits)
    return Chart(
        f"{drawing.slug}-tail",
        "Open-loop latency percentiles",
        f"{MEASURED if known else JOINED}{MEANING}",
        (Panel("Latency and service", {"": {"data": traces, "layout": layout}}),),
        ("variant", "stage", *COLUMNS, "state"),
        drawing.rows(drawing.judged, lambda s: [(words.percentile_name(k), *claimed(s, k)) for k in PERCENTILES]),
    )


def _latency(drawing: Drawing, item: Variant, stage: StageResult) -> Figure:
    style, name = drawing.styles[item.id], plain(drawing.names[item.id])
    points = []
    for key, p in PERCENTILES.items():
        found, service = getattr(stage.latency_ms, key), getattr(stage.service_ms, key).value
        if found.value is not None:
            text = f"{name}: {figure(found, stage)}, service {words.number(service)} ms"
            points.append(Point(tail(p), found.value, style.marker(stage, found), text))
    trace = line_of(item, drawing.line(item, stage), points)
    return trace | {"mode": "markers"} if item.id in drawing.tails else trace


def _drawn(drawing: Drawing) -> list[tuple[Variant, StageResult, Tail]]:
    return [(item, stage, drawing.tails[item.id]) for item, stage in drawing.judged if item.id in drawing.tails]


def _curve(drawing: Drawing, item: Variant, stage: StageResult, curve: Curve) -> Figure:
    """Steps: a rank is what it is until the next one. Without a text of its own, as the percentiles have theirs."""
    points = [Point(tail(share), ms, "circle", "") for share, ms in curve]
    trace = line_of(item, drawing.line(item, stage) | {"shape": "hv"}, points)
    trace["x"] = [round(x, 4) for x in trace["x"]]
    del trace["marker"], trace["hovertext"]
    return trace | {"mode": "lines", "hoverinfo": "skip"}


def _service(drawing: Drawing, item: Variant, stage: StageResult) -> Figure:
    """Without markers and without a text of its own: the text of the latency says both."""
    if item.id in drawing.tails:
        trace = _curve(drawing, item, stage, drawing.tails[item.id].service)
        trace["line"] |= {"width": 1}
        return trace
    found = [(p, getattr(stage.service_ms, key).value) for key, p in PERCENTILES.items()]
    points = [Point(tail(p), value, "circle", "") for p, value in found if value is not None]
    trace = line_of(item, drawing.line(item, stage) | {"width": 1}, points)
    del trace["marker"], trace["hovertext"]
    return trace | {"mode": "lines", "hoverinfo": "skip"}
