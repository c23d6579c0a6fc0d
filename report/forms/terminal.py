"""The summary that a terminal shows: aligned columns, plain text, at most 110 wide, the verdict last."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from contract.verdict import Report, Variant
from report import words
from report.beside import comparison, strain, unranked
from report.beside.comparison import INVALID
from report.judging import margin

WIDTH = 110
NAME_WIDTH = 44
SPOILED = "*"  # behind a figure of an INVALID stage


@dataclass(frozen=True)
class Column:
    """One column: the figure's key in the comparison, its width, and the two lines of its head."""

    key: str
    width: int
    above: str
    head: str


CLAIM = Column("claim", 19, "p99 claimable", "at 99 %")
ERRORS = Column("errors", 7, "", "errors")
SLO = Column("slo", 11, "", "SLO")
AT_A_RATE = (
    Column("throughput", 8, "closed", "req/s"),
    Column("p50", 7, "open", "p50 ms"),
    Column("p95", 7, "open", "p95 ms"),
    Column("p99", 7, "open", "p99 ms"),
    CLAIM,
    ERRORS,
    SLO,
)
HIGHEST_RATE = (
    Column("max_rate", 9, "max rate", "req/s"),
    Column("missed_at", 8, "misses", "at"),
    Column("p99", 7, "there", "p99 ms"),
    CLAIM,
)
COST = Column("cost", 11, "cost", "per million")


def render_summary(report: Report) -> str:
    """Return the table, what could mislead, what to serve and why, and the verdict's sentence as the last line."""
    blocks = [
        _table(report),
        _wrapped(margin.sentence(report), "  ") if report.winners else [],
        _marks(report),
        [] if report.advice else _winners(report),
        [line for text in strain.sentences(report) for line in _wrapped(text, "  ")],
        _warnings(report),
        *(_wrapped(advice, "  ") for advice in report.advice.values()),
        _wrapped(words.verdict(report)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def columns(report: Report) -> tuple[Column, ...]:
    """What the run was made to find: figures at the rate of the objective, or the highest rate, with its cost."""
    if report.search is None:
        return AT_A_RATE
    priced = any(column.key == COST.key for column in comparison.columns(report))
    return (*HIGHEST_RATE, COST if priced else ERRORS, SLO)


def _table(report: Report) -> list[str]:
    if not report.variants:
        return ["No variant was measured."]
    chosen = columns(report)
    lines = [
        _line("", {column.key: column.above for column in chosen}, chosen),
        _line("variant", {column.key: column.head for column in chosen}, chosen),
    ]
    names = words.labels(report)
    for model in words.models(report):
        variants = [item for item in report.variants if item.model == model]
        if variants:
            lines += [
                "-" * WIDTH,
                *_wrapped(f"{_one_line(model)}  ({words.objective(report.objectives.get(model, {}))})"),
            ]
        lines += [
            _line(f"{_mark(item)} {_one_line(names[item.id])}", _figures(report, item), chosen) for item in variants
        ]
    return [*lines, "-" * WIDTH]


def _figures(report: Report, variant: Variant) -> dict[str, str]:
    cells = comparison.row(report, variant)
    figures = {key: f"{cell.text}{SPOILED if INVALID in cell.note else ''}" for key, cell in cells.items()}
    return figures | {"claim": cells["p99"].note, "missed_at": words.number(variant.slo.max_rps.high)}


def _line(name: str, figures: dict[str, str], chosen: tuple[Column, ...]) -> str:
    shown = name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"
    return (shown.ljust(NAME_WIDTH) + "".join(f"{figures[item.key]:>{item.width}}" for item in chosen)).rstrip()


def _mark(variant: Variant) -> str:
    """One character in front of a variant's name; `_marks` explains those that occur."""
    if not variant.rankable:
        return "x"
    return "~" if variant.stand_in_for else " "


def _marks(report: Report) -> list[str]:
    names = words.labels(report)
    lines = []
    for text in unranked.sentences(report):
        lines += _wrapped(f"x not ranked: {text}", "  ")
    for text in unranked.next_steps(report):
        lines += _wrapped(f"> what to do: {text}", "  ")
    keys = [column.key for column in columns(report)]
    if any(SPOILED in figures[key] for figures in (_figures(report, v) for v in report.variants) for key in keys):
        lines.append(f"{SPOILED} of an INVALID stage: shown as it was measured, and nothing is judged from it")
    if any(_mark(item) == "~" for item in report.variants):
        lines.append("~ on a backend that stands in for another one in production")
    bound = [names[item.id] for item in report.variants if (s := words.closed_stages(item)) and s[-1].client_bound]
    if bound:
        lines += _wrapped(f"client-bound, so the throughput is a lower bound: {'; '.join(dict.fromkeys(bound))}", "  ")
    wrong = sum(stage.wrong_answers for item in report.variants for stage in item.stages)
    if wrong:
        lines.append(f"{words.counted(wrong, 'wrong answer')} among those that were checked")
    return lines


def _winners(report: Report) -> list[str]:
    """Who won among equals; the advice says it too, where there is one."""
    names = words.labels(report)
    won = [(item, words.winner_name(item, names), words.winner_reason(item)) for item in report.winners]
    texts = [f"{item.model} ({item.rank_class}): {name}. {reason}" for item, name, reason in won]
    return [line for text in texts for line in _wrapped(text, "  ")]


def _warnings(report: Report) -> list[str]:
    entries = [
        *report.warnings,
        *(f"not served: {name}: {status}" for name, status in report.unserved.items()),
    ]
    return [line for entry in entries for line in _wrapped(f"! {entry}", "  ")]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(_one_line(text), WIDTH, subsequent_indent=indent) or [""]


def _one_line(text: str) -> str:
    """Without line ends and control characters, which a name could use to rewrite the screen."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
