"""The summary that a terminal shows: aligned columns, plain text, at most 110 wide, the verdict last."""

from __future__ import annotations

import textwrap

from contract.verdict import Report, Variant
from report import comparison, strain, words

WIDTH = 110
NAME_WIDTH = 44
COLUMNS = {"throughput": 7, "p50": 7, "p95": 7, "p99": 7, "claim": 19, "errors": 7, "slo": 11}
HEADS = {
    "throughput": ("closed", "req/s"),
    "p50": ("open", "p50 ms"),
    "p95": ("open", "p95 ms"),
    "p99": ("open", "p99 ms"),
    "claim": ("p99 claimable", "at 99 %"),
    "errors": ("", "errors"),
    "slo": ("", "SLO"),
}


def render_summary(report: Report) -> str:
    """Return the table, the winners, what could mislead, and the verdict's sentence as the last line."""
    blocks = [
        _table(report),
        _marks(report),
        _winners(report),
        _wrapped(f"Noise: {words.noise(report)}", "  ") if report.winners else [],
        [line for text in strain.sentences(report) for line in _wrapped(text, "  ")],
        _warnings(report),
        _wrapped(words.verdict(report)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _table(report: Report) -> list[str]:
    if not report.variants:
        return ["No variant was measured."]
    lines = [
        _line("", {key: head[0] for key, head in HEADS.items()}),
        _line("variant", {key: head[1] for key, head in HEADS.items()}),
    ]
    names = words.labels(report)
    for model in words.models(report):
        variants = [item for item in report.variants if item.model == model]
        if variants:
            lines += [
                "-" * WIDTH,
                *_wrapped(f"{_one_line(model)}  ({words.objective(report.objectives.get(model, {}))})"),
            ]
        lines += [_line(f"{_mark(item)} {_one_line(names[item.id])}", _figures(report, item)) for item in variants]
    return [*lines, "-" * WIDTH]


def _figures(report: Report, variant: Variant) -> dict[str, str]:
    cells = comparison.row(report, variant)
    figures = {key: cells[key].text for key in COLUMNS if key in cells}
    return figures | {"claim": cells["p99"].note}


def _line(name: str, figures: dict[str, str]) -> str:
    shown = name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"
    return (shown.ljust(NAME_WIDTH) + "".join(f"{figures[key]:>{width}}" for key, width in COLUMNS.items())).rstrip()


def _mark(variant: Variant) -> str:
    """One character in front of a variant's name; `_marks` explains those that occur."""
    if not variant.rankable:
        return "x"
    return "~" if variant.stand_in_for else " "


def _marks(report: Report) -> list[str]:
    names = words.labels(report)
    lines = []
    for variant in report.variants:
        if not variant.rankable:
            text = f"x not ranked: {variant.model}, {names[variant.id]}: {words.not_ranked(variant)}"
            lines += _wrapped(text, "  ")
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
