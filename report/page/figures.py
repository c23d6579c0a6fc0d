"""What charts are made of: points, panels, tables, and the pieces of plotly figures that all of them share. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from contract.statistics import PERCENTILES
from contract.verdict import Variant
from report import words

Figure = dict[str, Any]
Value = str | float | int | None
Row = tuple[Value, ...]
Course = list[tuple[float, float | None]]

MOST_MARKERS = 20  # of a line; more would hide it
EXACT = ",.3~f"  # plotly's format of a figure that is pointed at


@dataclass(frozen=True)
class Point:
    """One marker: where, which, and what is read when it is pointed at."""

    x: float
    y: float | None
    symbol: str
    text: str


@dataclass(frozen=True)
class Panel:
    """One drawing of a chart, by the stage that it shows ("" where a chart has no choice of stage)."""

    title: str
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Chart:
    """A chart of one model, with the same figures as a table."""

    id: str
    title: str
    note: str
    panels: tuple[Panel, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def line_of(item: Variant, line: Figure, points: list[Point]) -> Figure:
    """One variant's line with its markers."""
    color = line["color"]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(words.label(item)),
        "meta": item.id,  # by this the page finds the traces of a variant when its key is pressed
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "line": line,
        "marker": {"symbol": [point.symbol for point in points], "color": color, "line": {"color": color}},
        "hovertext": [point.text for point in points],
    }


def course_of(item: Variant, line: Figure, values: Course, symbol: str | list[str], text: str, size: int = 6) -> Figure:
    """One variant's line over time. All points share one text, into which plotly puts the figure: pages stay small."""
    color = line["color"]
    marker = {"symbol": symbol, "color": color, "line": {"color": color}, "size": size, "maxdisplayed": MOST_MARKERS}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(words.label(item)),
        "meta": item.id,
        "x": [x for x, _ in values],
        "y": [y for _, y in values],
        "line": line,
        "marker": marker,
        "hovertemplate": f"{text}<extra></extra>",
    }


def objective_marks(limits: dict[str, float]) -> list[Figure]:
    """A short bar at each percentile that is promised; ``limits`` maps percentiles to milliseconds."""
    if not limits:
        return []
    marker = {"symbol": "line-ew-open", "size": 26, "color": "var(--limit)", "line": {"width": 2.5}}
    place = {
        "x": [tail(PERCENTILES[key]) for key in limits],
        "y": list(limits.values()),
        "hovertext": [f"SLO: {words.percentile_name(key)} ≤ {words.plain(ms)} ms" for key, ms in limits.items()],
    }
    return [{"type": "scatter", "mode": "markers", "name": "SLO", "marker": marker} | place]


def edge(x: float, color: str) -> Figure:
    """An upright line through the whole panel."""
    return {"type": "line", "xref": "x", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": color}}


def axes(x: str, y: str, yaxis: Figure) -> Figure:
    """The layout's two axes with their titles."""
    xaxis = {"title": {"text": x}, "rangemode": "tozero"}
    return {"xaxis": xaxis, "yaxis": {"title": {"text": y}} | yaxis}


def log_axis(values: Iterable[float | None]) -> Figure:
    """A logarithmic axis that holds all the values, with ticks at 1, 2, 5 of each decade."""
    positive = [v for v in values if v is not None and math.isfinite(v) and v > 0] or [1.0]
    low, high = min(positive) / 1.3, max(positive) * 1.4
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [t for decade in decades for step in (1, 2, 5) if low <= (t := step * 10.0**decade) <= high]
    scale = {"type": "log", "range": [math.log10(low), math.log10(high)]}
    return scale | {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def tail(p: float) -> float:
    """Where a percentile stands on the tail axis: each nine is as wide as the last."""
    return -math.log10(1 - p)


def plain(text: str) -> str:
    """Text for plotly, which reads some HTML."""
    return escape(text, quote=False)
