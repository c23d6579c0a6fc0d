"""Throughput and median latency over the seconds of a stage, and over the stages of the run one by one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise

from contract.verdict import StageResult, Variant
from report.page.charts.drawing import FROM_ZERO, Drawing, state
from report.page.charts.faults import fault_marks
from report.page.figures import EXACT, Chart, Course, Figure, Panel, axes, course_of, edge, plain

WHOLE = "the whole run"


def course(drawing: Drawing) -> Chart:
    """Two panels; a stage that has settled is flat, and a server that fell over is a hole."""
    return Chart(
        f"{drawing.slug}-course",
        "Over time",
        "A stage that has settled is flat. Over the whole run, an upright line is where the next stage begins. "
        "▲ is what happened to the server meanwhile.",
        (
            Panel("Throughput", _figures(drawing, lambda s: [(p.t_s, p.throughput_rps) for p in s.course], "req/s")),
            Panel("Median latency (p50)", _figures(drawing, lambda s: [(p.t_s, p.p50_ms) for p in s.course], "ms")),
        ),
        ("variant", "stage", "s", "throughput req/s", "p50 ms", "state"),
        drawing.rows(drawing.settled(), lambda s: [(p.t_s, p.throughput_rps, p.p50_ms) for p in s.course]),
    )


def _figures(drawing: Drawing, of: Callable[[StageResult], Course], unit: str) -> dict[str, Figure]:
    found = {name: drawing.over_time(shown, of, unit) for name, shown in drawing.offered.items()}
    for name, shown in drawing.offered.items():
        found[name]["data"] += [mark for item, stage in shown for mark in fault_marks(drawing, item, [(0.0, stage)])]
    return found | {WHOLE: _whole(drawing, of, unit)} if len(found) > 1 else found


def _whole(drawing: Drawing, of: Callable[[StageResult], Course], unit: str) -> Figure:
    """Every stage has the same place on the axis for all variants, as long as its longest window."""
    places, end = _places(drawing)
    traces = [_through(drawing, item, places, of, unit) for item in drawing.variants if item.stages]
    for item in drawing.variants:
        stages = [(begin, s) for name, begin in places.items() for v, s in drawing.offered[name] if v is item]
        traces += fault_marks(drawing, item, stages)
    layout = axes("", unit, FROM_ZERO)
    middles = [(begin + after) / 2 for begin, after in pairwise([*places.values(), end])]
    ticks = {"tickvals": middles, "ticktext": [plain(name) for name in places], "showgrid": False, "automargin": True}
    layout["xaxis"] |= ticks | {"range": [-0.01 * end, 1.01 * end]}
    layout["shapes"] = [edge(begin, "var(--rule)") for begin in places.values() if begin]
    return {"data": traces, "layout": layout | {"height": 300}}


def _places(drawing: Drawing) -> tuple[dict[str, float], float]:
    """Where each stage begins, in the order of measuring, and where the last one ends; seconds."""
    order = {id(stage): place for place, (_, stage) in enumerate(drawing.settled())}
    names = sorted(drawing.offered, key=lambda name: min(order[id(stage)] for _, stage in drawing.offered[name]))
    lengths = [max(stage.duration_s for _, stage in drawing.offered[name]) for name in names]
    *begins, end = accumulate(lengths, initial=0.0)
    return dict(zip(names, begins, strict=True)), end


def _through(
    drawing: Drawing, item: Variant, places: dict[str, float], of: Callable[[StageResult], Course], unit: str
) -> Figure:
    """One variant's line through all stages, with a hole between two."""
    values: Course = []
    symbols, texts = [], []
    for name, begin in places.items():
        for stage in (stage for owner, stage in drawing.offered[name] if owner is item):
            found = [*((begin + t_s, value) for t_s, value in of(stage)), (begin + stage.duration_s, None)]
            values += found
            symbols += [drawing.styles[item.id].marker(stage)] * len(found)
            texts += [plain(", ".join(filter(None, [name, state(item, stage)])))] * len(found)
    text = f"<b>{plain(drawing.names[item.id])}</b><br>%{{text}}<br>%{{y:{EXACT}}} {unit}"
    return course_of(item, drawing.line(item), values, symbols, text, size=4) | {"text": texts}
