"""What charts are made of: points, panels, tables, and the pieces of plotly figures that all of them share. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from contract.verdict import Variant
from report import words

Figure = dict[str, Any]
Value = str | float | int | None
Row = tuple[Value, ...]


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


def objective_mark(limit: float) -> Figure:
    """A short bar at p99."""
    marker = {"symbol": "line-ew-open", "size": 26, "color": "var(--limit)", "line": {"width": 2.5}}
    text = f"SLO: p99 ≤ {words.plain(limit)} ms"
    place = {"x": [tail(0.99)], "y": [limit], "hovertext": [text]}
    return {"type": "scatter", "mode": "markers", "name": "SLO", "marker": marker} | place


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
