"""The history as a terminal shows it: a line per figure, drawn with blocks, and what changed between the reports."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from contract.verdict import Report
from report import words
from report.runs.history_trends import Trend, undrawn

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"
FIGURE_WIDTH = 19
VALUE_WIDTH = 8
LEGEND = (
    "One character per report, from the least value to the greatest; · no figure; | measured otherwise than before."
)


def render_terminal(reports: Sequence[Report], found: Sequence[Trend]) -> str:
    """Plain text: per variant the first and last value of each figure with its course, then what changed and when."""
    first, last = reports[0], reports[-1]
    blocks = [[f"{words.counted(len(reports), 'report')}, {first.id} to {last.id}"]]
    for (model, _, label), trends in groupby(found, key=lambda trend: (trend.model, trend.variant, trend.label)):
        blocks.append([f"{model}, {label}", *(_line(trend) for trend in trends)])
    if not found:
        blocks.append(["No report has a valid figure."])
    if found:
        blocks.append(undrawn(reports, found))
    readings = found[0].readings if found else ()
    blocks.append([f"{reading.report}: {reading.changed}" for reading in readings if reading.changed])
    blocks.append([LEGEND])
    return printable("\n\n".join("\n".join(block) for block in blocks if block) + "\n")


def _line(trend: Trend) -> str:
    name = f"{trend.figure.name}, {trend.figure.unit}"
    *first, last = (f"{words.number(value):>{VALUE_WIDTH}}" for value in trend.ends)
    limit = f"  objective {words.plain(trend.limit)}" if trend.limit is not None else ""
    return f"  {name:<{FIGURE_WIDTH}}{first[0] if first else ' ' * VALUE_WIDTH}  {sparkline(trend)}{last}{limit}"


def sparkline(trend: Trend) -> str:
    """One character per report: a block between the least and the greatest value, a dot where there is none.

    A bar stands before a report that was measured otherwise than the one before (`history_trends.changes`).
    """
    low, high = min(trend.values), max(trend.values)
    drawn = []
    for reading in trend.readings:
        share = 0.5 if high == low or reading.value is None else (reading.value - low) / (high - low)
        block = GAP if reading.value is None else BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]
        drawn.append(f"|{block}" if reading.changed else block)
    return "".join(drawn)


def printable(text: str) -> str:
    """Without control characters, which a name could use to rewrite the screen."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
