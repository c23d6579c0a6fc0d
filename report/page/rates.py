"""The highest rates that keep the objectives, as a table, and what it cost to find them. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from contract.search import Found
from contract.verdict import Report, Variant
from report import words

NOT_LIMITED = {
    "": "the search was interrupted",
    "range": "nothing: no tried rate was missed",
    "machine": "other work on the machine",
    "answers": "failed requests",
}


@dataclass(frozen=True)
class Line:
    """One variant: its highest rate, what is known to be too much, how it was sought; rates are requests per second."""

    variant: Variant
    value: str
    missed: str
    limited_by: str
    knee: str
    steps: str
    seconds: float


def lines(report: Report, model: str) -> list[Line]:
    """The variants of a model that were searched, in the order of the report; empty where there was no search."""
    if report.search is None:
        return []
    pairs = [(item, report.search.of(item.id)) for item in report.variants if item.model == model]
    return [_line(item, found) for item, found in pairs if found is not None]


def effort(report: Report) -> str:
    """How long the search took, against a grid that would have told as much; empty where there was none."""
    search = report.search
    if search is None:
        return ""
    wide = sum(_apart(item) > 1.1 * search.resolution for item in search.found)
    apart = f" ({wide} of them are less near)" if wide else ""
    text = (
        f"Rates are sought to within {words.share(search.resolution)}{apart}. "
        f"The search took {duration(search.seconds)}; "
        f"a grid of the same range, resolution and windows would have taken {duration(search.grid_seconds)}"
    )
    text += f" ({words.share(search.seconds / search.grid_seconds)} of it)" if search.grid_seconds > 0 else ""
    return f"{text}. {'' if search.complete else 'It was interrupted: what is missing was not sought.'}".rstrip()


def _apart(found: Found) -> float:
    """How far the kept and the missed rate lie apart, relative."""
    return found.high / found.value - 1 if found.value and found.high else 0.0


def duration(seconds: float) -> str:
    """E.g. ``42 s``, ``6 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _line(item: Variant, found: Found) -> Line:
    answer = item.slo.max_rps
    outcomes = Counter(probe.outcome for probe in found.probes)
    limit = words.ended_by(answer) or found.limited_by
    return Line(
        variant=item,
        value=words.number(answer.value),
        missed=words.number(answer.high),
        limited_by=NOT_LIMITED.get(limit, f"the {limit}"),
        knee=words.number(found.knee_rps),
        steps=", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "none",
        seconds=found.seconds,
    )
