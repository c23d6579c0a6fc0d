"""Several runs side by side, as a terminal shows it, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import groupby

from report import words
from report.forms.markdown import escape
from report.runs.history_text import printable
from report.runs.side_by_side import Entry, Line, SideBySide

JUDGED = {True: "", False: "within noise", None: "noise not known"}
EXPLANATION = (
    "Changes are relative to the first run. One counts where it exceeds what both runs saw when they measured the same "
    "variant twice (A/A)."
)


def render_terminal(found: SideBySide) -> str:
    """Aligned columns, plain text: one block per variant, one line per figure, what must be known first on top."""
    blocks = [[f"! {warning}" for warning in found.warnings]]
    rows = [["", *found.runs], *(_cells(line) for line in found.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(found.runs) + 1)]
    for title, lines in _variants(found):
        blocks.append([title, _aligned(["", *found.runs], widths), *(_aligned(_cells(line), widths) for line in lines)])
    blocks.append([EXPLANATION])
    return printable("\n\n".join("\n".join(block) for block in blocks if block) + "\n")


def render_markdown(found: SideBySide) -> str:
    """For a pull request: every text of a report is escaped."""
    parts = [[f"**{len(found.runs)} runs, compared with {escape(found.runs[0])}**"]]
    if found.warnings:
        parts.append([f"- {escape(warning)}" for warning in found.warnings])
    for title, lines in _variants(found):
        head = ["", *found.runs]
        rows = [head, ["---", *["--:"] * len(found.runs)]]
        table = [[escape(text) for text in _cells(line)] for line in lines]
        parts.append([f"### {escape(title)}", "", *(f"| {' | '.join(row)} |" for row in [*rows, *table])])
    parts.append([EXPLANATION])
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def render_json(found: SideBySide) -> str:
    """The same figures for programs."""
    return json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _variants(found: SideBySide) -> Iterator[tuple[str, list[Line]]]:
    for (model, label, _), lines in groupby(found.lines, key=lambda line: (line.model, line.label, line.variant)):
        yield f"{model}, {label}", list(lines)


def _cells(line: Line) -> list[str]:
    sent = f"({line.payloads})" if line.payloads else ""
    name = " ".join(filter(None, [line.stage, sent, f"{line.figure}, {line.unit}"]))
    return [name, *(_cell(entry) for entry in line.entries)]


def _cell(entry: Entry) -> str:
    """E.g. ``12.3 +4.1 % (within noise)``."""
    if entry.change is None:
        return " ".join(filter(None, [words.number(entry.value), f"({entry.note})" if entry.note else ""]))
    judged = JUDGED[entry.beyond]
    return f"{words.number(entry.value)} {round(100 * entry.change, 1) + 0.0:+.1f} %" + (
        f" ({judged})" if judged else ""
    )


def _aligned(cells: list[str], widths: list[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([f"  {first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others)]).rstrip()
