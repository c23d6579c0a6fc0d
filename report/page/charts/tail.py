"""Open-loop percentiles on a tail axis, corrected and uncorrected in one picture. Pure."""

from __future__ import annotations

from contract.statistics import PERCENTILES
from contract.verdict import StageResult, Variant
from report import words
from report.page.charts.drawing import Drawing, claimed, figure
from report.page.figures import Chart, Figure, Panel, Point, axes, line_of, log_axis, objective_marks, plain, tail

COLUMNS = "percentile", "latency ms", "claimable ms", "samples missing", "service ms"


def percentile_tail(drawing: Drawing) -> Chart:
    """Latency from the intended send, and service from the actual one: what lies between is waiting for the client."""
    limits = {key: limit for key in PERCENTILES if (limit := drawing.objective.get(f"{key}_ms")) is not None}
    both = [kind for _, stage in drawing.judged for kind in (stage.latency_ms, stage.service_ms)]
    axis = log_axis([*(getattr(kind, key).value for kind in both for key in PERCENTILES), *limits.values()])
    names = [words.percentile_name(key) for key in PERCENTILES]
    layout = axes("Percentile", "ms", axis) | {"hovermode": "x unified"}
    layout["xaxis"] |= {
        "tickvals": [tail(p) for p in PERCENTILES.values()],
        "ticktext": [f"<br>{name}" if name == "p95" else name for name in names],  # p90 is close by
        "tickangle": 0,
        "range": [0.1, 4.2],
    }
    traces = [_service(drawing, item, stage) for item, stage in drawing.judged]
    traces += [_latency(drawing, item, stage) for item, stage in drawing.judged]
    traces += objective_marks(limits)
    return Chart(
        f"{drawing.slug}-tail",
        "Open-loop latency percentiles",
        "Lines with markers are latency, counted from the intended send, so that a wait for its turn counts too; "
        "the thin line of the same colour is service, from the actual send. A bar is an objective.",
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
    return line_of(item, drawing.line(item, stage), points)


def _service(drawing: Drawing, item: Variant, stage: StageResult) -> Figure:
    """Without markers and without a text of its own: the text of the latency says both."""
    found = [(p, getattr(stage.service_ms, key).value) for key, p in PERCENTILES.items()]
    points = [Point(tail(p), value, "circle", "") for p, value in found if value is not None]
    trace = line_of(item, drawing.line(item, stage) | {"width": 1}, points)
    del trace["marker"], trace["hovertext"]
    return trace | {"mode": "lines", "hoverinfo": "skip"}
