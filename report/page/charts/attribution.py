"""Where the mean milliseconds of a request went, one bar per variant. Pure."""

from __future__ import annotations

from contract.verdict import StageResult, Variant
from report import words
from report.page.charts.drawing import Drawing, Measured
from report.page.figures import Chart, Figure, Panel, axes

PARTS = ("client", "wire", "queue", "compute")


def attribution(drawing: Drawing) -> Chart:
    """Stacked bars, by stage."""
    return Chart(
        f"{drawing.slug}-attribution",
        "Where the time went",
        "Mean milliseconds of a request: client is from intended to actual send, queue and compute are "
        "the server's own counters, wire is the remainder. Hatched: embedded engine or INVALID stage.",
        (Panel("Mean of the stage", {name: _bars(drawing, shown) for name, shown in drawing.offered.items()}),),
        ("variant", "stage", *(f"{part} ms" for part in PARTS), "state"),
        drawing.rows(drawing.settled(), lambda s: [tuple(getattr(s.attribution_ms, part) for part in PARTS)]),
    )


def _bars(drawing: Drawing, shown: list[Measured]) -> Figure:
    places = list(range(len(shown)))
    hatches = ["/" if v.engine_kind == "embedded" or not s.valid else "" for v, s in shown]
    traces = []
    for part in PARTS:
        values = [getattr(stage.attribution_ms, part) for _, stage in shown]
        heads = [f"{drawing.head(item, stage)}<br>{part}" for item, stage in shown]
        trace: Figure = {"type": "bar", "orientation": "h", "name": part, "x": values, "y": places}
        trace["marker"] = {"color": f"var(--part-{part})", "pattern": {"shape": hatches}}
        trace["hovertext"] = [f"{h} {words.number(v)} ms" for h, v in zip(heads, values, strict=True)]
        traces.append(trace)
    ticks = [_tick(drawing, item, stage) for item, stage in shown]
    axis = {"tickvals": places, "ticktext": ticks, "autorange": "reversed", "showgrid": False}
    layout = axes("ms", "", axis | {"automargin": True})
    return {"data": traces, "layout": layout | {"barmode": "stack", "height": 96 + 52 * len(shown)}}


def _tick(drawing: Drawing, item: Variant, stage: StageResult) -> str:
    lines = [drawing.tick(item)] if stage.valid else [drawing.tick(item), "INVALID"]
    lines += ["not counted by the server"] if stage.attribution_ms.queue is None else []
    return "<br>".join(lines)
