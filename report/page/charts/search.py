"""How a search came to the highest rate: the rates that it tried, one band per variant, first at the top. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from contract.search import Found, Probe
from contract.verdict import StageResult, Variant
from report import words
from report.page.charts.drawing import Drawing
from report.page.figures import Chart, Figure, Panel, Point, Row, axes, edge, line_of, plain

# Outcome -> marker, colour. The marker alone tells them apart, in print and for who sees no colours.
MARKS = {
    "kept": ("circle", "var(--good)"),
    "missed": ("x", "var(--bad)"),
    "unclear": ("diamond-open", "var(--caution)"),
}
BAND = 0.72  # of the distance of two variants, which is as high as the longest path needs, pixels
LEAST_HIGH, STEP_HIGH = 84, 13
COLUMNS = ("variant", "step", "kind", "rate req/s", "outcome", "reason", "p99 ms", "cut short", "s")


def search(drawing: Drawing) -> list[Chart]:
    """One chart, or none where nothing was sought."""
    if drawing.report.search is None:
        return []
    sought = [(item, found) for item in drawing.variants if (found := drawing.report.search.of(item.id)) is not None]
    if not sought:
        return []
    traces = [trace for place, (item, found) in enumerate(sought) for trace in _band(drawing, place, item, found)]
    ticks = {
        "tickvals": list(range(len(sought))),
        "ticktext": [_tick(drawing, item) for item, _ in sought],
        "range": [len(sought) - 0.5, -0.5],
        "showgrid": False,
        "automargin": True,
    }
    layout = axes("Rate, req/s", "", ticks) | {"height": 96 + len(sought) * _high(found for _, found in sought)}
    rate = drawing.objective.get("rate")
    if rate is not None:
        layout["shapes"] = [edge(rate, "var(--limit)")]
        text = f"wanted: {words.plain(rate)} req/s"
        layout["annotations"] = [{"text": text, "font": {"color": "var(--limit)"}}]
    return [
        Chart(
            f"{drawing.slug}-search",
            "How the highest rate was found",
            "One band per variant, its first rate at the top: ● kept the objectives, ✕ missed them, ◇ could not be "
            "told, for the load generator or the machine spoiled it, however often it was asked. "
            "A star is the confirmation, which carries the claim; the bar reaches to the lowest rate that missed.",
            (Panel("Rates that were tried", {"": {"data": traces, "layout": layout}}),),
            COLUMNS,
            tuple(row for item, found in sought for row in _rows(drawing, item, found)),
        )
    ]


def stage_of(variant: Variant, probe: Probe) -> StageResult | None:
    """The stage that a step of the search was measured in; None where it is not in the report."""
    found = variant.stages[probe.stage] if probe.stage < len(variant.stages) else None
    return found if found is not None and found.purpose == probe.purpose else None


def _band(drawing: Drawing, place: int, item: Variant, found: Found) -> list[Figure]:
    """The path of the steps, and below it the interval of the answer."""
    answer, color = item.slo.max_rps, drawing.styles[item.id].color
    steps = _steps(found)
    level = BAND / max(1, len(steps))
    points, colors, sizes = [], [], []
    for number, tries in enumerate(steps):
        last = tries[-1]
        symbol, outcome_color = MARKS[last.outcome]
        confirms = last.purpose == "confirm"
        symbol = "star" if confirms and last.outcome == "kept" and last.rate == answer.value else symbol
        points.append(Point(last.rate, place - BAND / 2 + level * number, symbol, _text(drawing, item, tries)))
        colors.append(outcome_color)
        sizes.append(15 if confirms else 8)
    path = line_of(item, drawing.line(item) | {"width": 1}, points)
    path["marker"] |= {"color": colors, "line": {"color": colors}, "size": sizes, "opacity": 1}
    if answer.value is None:
        return [path]
    ends = [answer.value, answer.value if answer.high is None else answer.high]
    text = f"<b>{plain(drawing.names[item.id])}</b><br>{words.max_rate(answer)}"
    bar = line_of(item, {"color": color, "width": 5}, [Point(end, place + BAND / 2, "line-ns", text) for end in ends])
    bar["marker"] |= {"size": 12, "line": {"color": color, "width": 2}}
    return [path, bar]


def _steps(found: Found) -> list[list[Probe]]:
    """The path of the search: what was asked again at once is one step, of which the last answer counts."""
    return [list(tries) for _, tries in groupby(found.probes, key=lambda probe: (probe.purpose, probe.rate))]


def _high(sought: Iterable[Found]) -> int:
    """Pixels between two variants."""
    return max(LEAST_HIGH, STEP_HIGH * max(len(_steps(found)) for found in sought))


def _text(drawing: Drawing, item: Variant, tries: list[Probe]) -> str:
    last = tries[-1]
    stage = stage_of(item, last)
    kind = "confirmation" if last.purpose == "confirm" else "probe"
    lines = [
        f"<b>{plain(drawing.names[item.id])}</b>",
        f"{kind}: {words.number(last.rate)} req/s" + (f", asked {len(tries)} times" if len(tries) > 1 else ""),
        f"{last.outcome}: {plain(last.reason)}",
        f"p99 {words.number(stage.latency_ms.p99.value)} ms" if stage else "",
        f"{words.number(sum(probe.seconds for probe in tries))} s"
        + (f", ended early ({last.cut})" if last.cut else ""),
    ]
    return "<br>".join(filter(None, lines))


def _tick(drawing: Drawing, item: Variant) -> str:
    rate = item.slo.max_rps.value
    return f"{drawing.tick(item)}<br><b>{f'{words.number(rate)} req/s' if rate is not None else 'no rate'}</b>"


def _rows(drawing: Drawing, item: Variant, found: Found) -> list[Row]:
    return [
        (
            drawing.names[item.id],
            number,
            probe.purpose,
            probe.rate,
            probe.outcome,
            probe.reason,
            stage.latency_ms.p99.value if (stage := stage_of(item, probe)) else None,
            probe.cut,
            probe.seconds,
        )
        for number, probe in enumerate(found.probes, 1)
    ]
