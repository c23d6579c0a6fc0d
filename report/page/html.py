"""report.html: one file that opens from disk, can be read without scripts and asks the network for nothing.

Every text of the report goes through jinja's autoescape; the two JSON blocks for the page's script escape
``<``, so that no text can end them. The page's Content-Security-Policy forbids every request: a mistake here
would show and not leak.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic_core import to_json

from contract.verdict import Report
from report import words
from report.beside import comparison, reproduce, server_words, strain
from report.beside.circumstances import circumstances
from report.beside.fairness import sheets
from report.beside.not_measured import not_measured
from report.judging import margin
from report.page import map_words, rates, winner_map
from report.page.beside import NOTHING, Beside
from report.page.charts import Charts
from report.page.figures import Chart, Value
from report.page.library import packed_plotly
from report.page.style import Style, styles

TEMPLATES = Path(__file__).parent / "templates"
TEXTS = (
    "variant",
    "stage",
    "payloads",
    "percentile",
    "kind",
    "outcome",
    "reason",
    "cut short",
    "class",
    "place",
    "state",
)
# Anchor -> title, in the order of the page; those that a report may lack are left out where it does.
SECTIONS = {
    "comparison": "Comparison",
    "winners": "Winners",
    "search": "Highest rates",
    "charts": "Charts",
    "map": "Winner map",
    "parity": "Parity",
    "validity": "Validity",
    "unserved": "Unserved",
    "noise": "Noise",
    "fairness": "Fairness sheet",
    "reproduce": "Reproduce",
}
SWATCHES = {
    "circle": "M18 3a5 5 0 1 0 .01 0Z",
    "square": "M13.5 3.5h9v9h-9Z",
    "diamond": "M18 1.5 24.5 8 18 14.5 11.5 8Z",
}


def render_html(report: Report, beside: Beside = NOTHING) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number,
        plain=words.plain,
        difference=words.difference,
        share=words.share,
        claim=words.claim,
        configuration=words.configuration,
        objective=words.objective,
        without=_without,
        download=_download,
        swatch=_swatch,
        figure=_figure,
        json=_json,
    )
    return environment.get_template("report.html.j2").render(_context(report, beside))


def _context(report: Report, beside: Beside) -> dict[str, Any]:
    names, columns = words.labels(report), comparison.columns(report)
    charts = {model: Charts(report, model, beside.tails).all() for model in words.models(report)}
    sought = {model: rates.lines(report, model) for model in words.models(report)}
    maps = winner_map.winner_maps(report, beside.cells)
    there = {"search": report.search is not None, "map": bool(maps)}
    return {
        "report": report,
        "after_verdict": words.verdict(report).removeprefix(report.verdict).lstrip(" :,.;-"),
        "words": words,
        "server_words": server_words,
        "strain": strain.sentences(report),
        "comparison": comparison,
        "names": names,
        "models": words.models(report),
        "variants": {model: [v for v in report.variants if v.model == model] for model in words.models(report)},
        "columns": columns,
        "groups": _groups(columns),
        "winning": {winner.variant for winner in report.winners} - {None},
        "tied": {name for winner in report.winners for name in winner.tied},
        "styles": styles(report),
        "charts": charts,
        "figures": _figures(charts),
        "texts": TEXTS,
        "sections": [(anchor, title) for anchor, title in SECTIONS.items() if there.get(anchor, True)],
        "rates": sought,
        "searched": [line.variant for lines in sought.values() for line in lines],
        "effort": rates.effort(report),
        "map_words": map_words,
        "maps": [(found, winner_map.table(found, names, f"map-{n}")) for n, found in enumerate(maps, 1)],
        "circumstances": lambda variants: circumstances(report, variants),
        "open_questions": not_measured(report),
        "closeness": map_words.closeness(report.noise, beside.cells, names),
        "noise": margin.sentence(report),
        "tie": "undecided" if margin.of_report(report) is None else "tied",
        "steps": reproduce.steps(report),
        "alone": reproduce.alone(report),
        "interpreter": reproduce.INTERPRETER,
        "artifacts": list(dict.fromkeys((v.model, v.format, v.artifact_sha256) for v in report.variants)),
        "sheets": sheets(report),
        "style_sheet": _source("report.css"),
        "script": _source("report.js"),
        # Without a chart to draw the page does not need two megabytes of plotly.
        "plotly": packed_plotly() if any(charts.values()) else None,
    }


def _groups(columns: Sequence[comparison.Column]) -> list[tuple[str, int]]:
    """The group headings of the comparison and how many columns each spans."""
    found: list[tuple[str, int]] = []
    for column in columns:
        if found and found[-1][0] == column.group:
            found[-1] = (column.group, found[-1][1] + 1)
        else:
            found.append((column.group, 1))
    return found


def _figures(charts: dict[str, list[Chart]]) -> dict[str, list[dict[str, Any]]]:
    return {chart.id: [panel.figures for panel in chart.panels] for found in charts.values() for chart in found}


def _source(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text())  # noqa: S704 - ours


def _json(value: Any) -> Markup:
    """JSON for a <script>: no `<` is left that could end the element or open a comment."""
    text = to_json(value, inf_nan_mode="null").decode()
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - the escape of its place


def csv_of(chart: Chart) -> str:
    """A chart's table as CSV; an apostrophe guards a text that a spreadsheet would take for a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(chart.columns)
    for row in chart.rows:
        writer.writerow(f"'{v}" if isinstance(v, str) and v.startswith(tuple("=+-@")) else _rounded(v) for v in row)
    return file.getvalue()


def _without(sentence: str, model: str) -> str:
    """A sentence that begins with its model's name, which stands beside it already."""
    rest = sentence.removeprefix(f"{model}: ")
    return f"{rest[:1].upper()}{rest[1:]}"


def _download(chart: Chart) -> str:
    return "data:text/csv;charset=utf-8," + quote(csv_of(chart))


def _swatch(style: Style) -> Markup:
    """A piece of the variant's line with its marker."""
    dash = "5 3" if style.embedded else "none"
    fill = "var(--page)" if style.embedded else style.color
    return Markup(
        '<svg class="swatch" width="36" height="16" viewBox="0 0 36 16" aria-hidden="true">'
        '<path d="M1 8h34" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'
        '<path d="{path}" fill="{fill}" stroke="{color}" stroke-width="1.5"/></svg>'
    ).format(color=style.color, dash=dash, path=SWATCHES[style.symbol], fill=fill)


def _figure(value: Value) -> str:
    """One cell of a chart's table."""
    shown = _rounded(value)
    return words.ABSENT if shown is None else f"{shown:,.6g}" if isinstance(shown, float) else str(shown)


def _rounded(value: Value) -> Value:
    if not isinstance(value, float):
        return value
    return round(value, 4) if math.isfinite(value) else None
