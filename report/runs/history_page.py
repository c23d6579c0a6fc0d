"""history.html: the trend over all reports, one small drawing per figure, in a file that needs nothing else.

Drawn as SVG by hand: a line with its points is less than plotly's five megabytes, prints, and needs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from contract.verdict import Report
from report import words
from report.runs.history_trends import Reading, Trend, undrawn

TEMPLATES = Path(__file__).parents[1] / "page" / "templates"  # one look for all pages
WIDTH, HEIGHT, MARGIN = 640.0, 150.0, 12.0


@dataclass(frozen=True)
class Mark:
    """One report in a drawing, in pixels; ``y`` is None where it has no figure."""

    x: float
    y: float | None
    reading: Reading


@dataclass(frozen=True)
class Drawing:
    """One trend in pixels: the pieces of its line, its points, the height of the objective."""

    trend: Trend
    marks: tuple[Mark, ...]
    limit_y: float | None

    @property
    def lines(self) -> list[str]:
        """Points of the line's pieces for SVG: it breaks where a report has no figure."""
        runs = groupby(self.marks, key=lambda mark: mark.y is not None)
        return [" ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in run) for there, run in runs if there]


def render_html(reports: Sequence[Report], found: Sequence[Trend]) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=words.number, plain=words.plain)
    return environment.get_template("history.html.j2").render(_context(reports, found))


def _context(reports: Sequence[Report], found: Sequence[Trend]) -> dict[str, Any]:
    drawings = [draw(trend) for trend in found]
    return {
        "reports": reports,
        "changed": {mark.reading.report: mark.reading.changed for item in drawings[:1] for mark in item.marks},
        "models": [
            (model, [list(of_variant) for _, of_variant in groupby(items, key=lambda item: item.trend.variant)])
            for model, items in groupby(drawings, key=lambda item: item.trend.model)
        ],
        "undrawn": undrawn(reports, found) if found else [],
        "width": WIDTH,
        "height": HEIGHT,
        "zero_y": HEIGHT - MARGIN,
        "absent": words.ABSENT,
        "style_sheet": Markup((TEMPLATES / "report.css").read_text()),  # noqa: S704 - ours
    }


def draw(trend: Trend) -> Drawing:
    """Reports at equal distances, for runs come in bursts; values from zero, so that a small change looks small."""
    top = max([*trend.values, trend.limit or 0.0]) or 1.0
    step = (WIDTH - 2 * MARGIN) / max(len(trend.readings) - 1, 1)

    def height(value: float) -> float:
        return MARGIN + (HEIGHT - 2 * MARGIN) * (1 - value / top)

    marks = tuple(
        Mark(MARGIN + number * step, None if reading.value is None else height(reading.value), reading)
        for number, reading in enumerate(trend.readings)
    )
    return Drawing(trend, marks, None if trend.limit is None else height(trend.limit))
