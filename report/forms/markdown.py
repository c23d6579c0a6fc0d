"""report.md: the verdict for a pull request comment.

Every text of the report is escaped, so that none can shape the comment.
"""

from __future__ import annotations

from contract.verdict import Report, Variant
from report import words
from report.beside import comparison, reproduce, strain, unranked
from report.judging import margin

COLUMNS = ("slo", "max_rate", "cost", "throughput", "p50", "p95", "p99", "errors", "wrong", "parity", "load")
SPECIAL = {character: f"\\{character}" for character in "\\`*_[]|~"} | {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "@": "&#64;",  # no one is mentioned, and no issue is linked, by a name in a report
    "#": "&#35;",
}


def render_markdown(report: Report) -> str:
    """Return the comment, the verdict first, how to reproduce last."""
    parts = [
        [f"**{escape(words.verdict(report))}**"],
        [f"- {escape(advice)}" for advice in report.advice.values()],
        _winners(report),
        _comparison(report),
        _not_ranked(report),
        _listed("Over time, and beyond the maximum", strain.sentences(report)),
        _listed("What could mislead", report.warnings),
        _listed("Unserved formats", [f"{name}: {status}" for name, status in report.unserved.items()]),
        ["### Noise", "", escape(words.noise(report))],
        _listed("The load generator", report.generator),
        _reproduce(report),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def escape(text: str) -> str:
    """A text that renders as itself, on one line, in a paragraph, a list or a table cell."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _winners(report: Report) -> list[str]:
    names = words.labels(report)
    lines = ["### Winners", ""]
    for model in words.models(report):
        won = [item for item in report.winners if item.model == model]
        for item in won:
            kept = "objectives kept" if item.passed else "an objective missed"
            name, reason = escape(words.winner_name(item, names)), escape(words.winner_reason(item))
            lines.append(f"- **{escape(model)}** ({escape(item.rank_class)}): **{name}** ({kept}). {reason}")
        if not won:
            lines.append(f"- **{escape(model)}**: no winner, no variant could be ranked.")
    return lines if len(lines) > 2 else []


def _comparison(report: Report) -> list[str]:
    if not report.variants:
        return ["No variant was measured."]
    columns = [column for column in comparison.columns(report) if column.key in COLUMNS]
    heads = ["Model", "Variant", *(f"{c.title}, {c.unit}" if c.unit else c.title for c in columns)]
    names = words.labels(report)
    lines = [
        "### Comparison",
        "",
        _row([escape(head) for head in heads]),
        _row(["---", "---", "---", *["--:"] * (len(heads) - 3)]),
    ]
    for variant in report.variants:
        cells = comparison.row(report, variant)
        figures = [" ".join(filter(None, (cells[c.key].text, _note(cells[c.key])))) for c in columns]
        lines.append(_row([escape(text) for text in (variant.model, _named(variant, names), *figures)]))
    where = " at the rate that was confirmed" if report.search else ""
    lines += [
        "",
        f"Percentiles are of the open loop{where}, from the intended send; in brackets the upper bound at 99 % "
        "confidence, or how many more requests a bound needs. Throughput is of the closed loop.",
    ]
    noise = margin.sentence(report)
    return [*lines, "", escape(noise)] if noise else lines


def _note(cell: comparison.Cell) -> str:
    return f"({cell.note})" if cell.note else ""


def _named(variant: Variant, names: dict[str, str]) -> str:
    marks = [word for word, _ in words.badges(variant) if word != "embedded"]  # the label says it already
    return ", ".join([names[variant.id], *marks])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _not_ranked(report: Report) -> list[str]:
    steps = [f"What to do: {step}" for step in unranked.next_steps(report)]
    return _listed("Not ranked", [*unranked.sentences(report), *steps])


def _listed(title: str, entries: list[str]) -> list[str]:
    return [f"### {title}", "", *(f"- {escape(entry)}" for entry in entries)] if entries else []


def _reproduce(report: Report) -> list[str]:
    # A fence shows its text as it is: only what could end it is taken out.
    commands = [(" ".join(command.replace("`", "").split()), what) for command, what in reproduce.road(report)]
    width = max(len(command) for command, _ in commands)
    block = ["```sh", *(f"{command:<{width}}  # {what}" for command, what in commands), "```"]
    cores = words.counted(report.machine.cores, "core")
    machine = f"{report.machine.processor}, {cores}; target Triton {report.target}"
    return [
        "### How to reproduce",
        "",
        *block,
        "",
        f"Report {escape(report.id)}, measured on {escape(machine)}. {reproduce.INTERPRETER}",
    ]
