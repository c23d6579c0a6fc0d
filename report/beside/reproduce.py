"""How to come to each number again: one command per section of the report, and per variant alone. Pure.

What was typed is in the results, and is what is shown. Of older results it is put together from what they say of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract.verdict import Report
from report.figures.cells import rows_of

ASKED = ("configure", "scale")  # runs whose stages were asked for one at a time, by the name of their plan
# The same commands are typed inside the load test's container, where python is the right one already.
INTERPRETER = "In a checkout python is .venv/bin/python, which 'make env' makes."
# What the stages before have to be told as well: flag -> variable of the Makefile, and its default.
TOLD = {"--config": ("CONFIG", "models.toml"), "--group": ("GROUP", "default"), "--use": ("USE", "")}


@dataclass(frozen=True)
class Step:
    """A command, the section of the page that its figures stand in (an anchor and its title), and what it does."""

    anchor: str
    section: str
    command: str
    what: str


def steps(report: Report) -> list[Step]:
    """In the order in which the road is gone."""
    measure = _measuring(report)
    named = "its highest rate is sought" if report.search else "its figures are measured"
    found = [
        Step("parity", "Parity of the files", _make(report, "export"), "export every model and prove each file"),
        Step(
            "parity",
            "Parity, cold start",
            _make(report, "serve"),
            "load every model, time it, prove engine and endpoint",
        ),
        Step("noise", "Load generator", "python -m loadtest certify", "find what the load generator itself can do"),
        Step("comparison", "Comparison, charts, validity", measure, f"every variant is loaded, {named}"),
    ]
    if any(rows_of(stage) is not None for variant in report.variants for stage in variant.stages):
        command = measure if report.command else "python -m loadtest --plan map"
        found.append(Step("map", "Winner map", command, "all numbers of users at all numbers of rows"))
    return [*found, Step("verdict", "This page", _again(report), "judge the same records again, without measuring")]


def road(report: Report) -> list[tuple[str, str]]:
    """The shortest way to this report again: commands, and what each does."""
    again = _again(report), "make this report again from the same records"
    if report.command or report.load_plan in ASKED:
        start = _make(report, "export serve")
        return [(start, "start from the trained models"), (_measuring(report), "measure again"), again]
    plan = f" PLAN={report.load_plan}" if report.load_plan and not report.search else ""
    goal = "slo" if report.search else f"loadtest{plan}"
    return [(f"make export serve {goal}", "measure again, on your machine"), again]


def alone(report: Report) -> list[tuple[str, str]]:
    """Per variant: its id and the command that measures it and nothing else.

    Empty for a climb and a curve: each of their variants is a step that follows from those before it.
    """
    if report.load_plan in ASKED:
        return []
    command = shlex.join(_without(report.command, "--variant")) if report.command else _measuring(report)
    return [(variant.id, f"{command} --variant {variant.id}") for variant in report.variants]


def _measuring(report: Report) -> str:
    """The command that made the records."""
    if report.command:
        return shlex.join(report.command)
    if report.load_plan in ASKED:  # whose confirmations are searches of their own
        return shlex.join(["python", "-m", "tune", report.load_plan, *_asked(report)])
    if report.search:
        return "python -m tune search"
    return "python -m loadtest" + (f" --plan {report.load_plan}" if report.load_plan else "")


def _again(report: Report) -> str:
    """The command that judges the same records again, in the workspace that was typed."""
    workspace = list(_values(report.command, "--workspace"))[-1:]
    folder = "/".join([*(place.rstrip("/") for place in workspace), "results", report.id])
    return shlex.join(["python", "-m", "report", folder, *(["--workspace", *workspace] if workspace else [])])


def _asked(report: Report) -> list[str]:
    """What was configured, or the endpoint that was scaled and to which numbers, as far as the results say it."""
    if report.load_plan == "configure":
        return list(dict.fromkeys(variant.model for variant in report.variants))
    found = report.scaling
    return [found.endpoint, f"--{found.unit}", ",".join(str(point.n) for point in found.points)] if found else []


def _make(report: Report, goals: str) -> str:
    """``make`` of stages before, with the files that the command names."""
    said = {flag: value for flag in TOLD for value in _values(report.command, flag)}
    variables = [f"{TOLD[flag][0]}={value}" for flag, value in said.items() if value != TOLD[flag][1]]
    return shlex.join(["make", *goals.split(), *variables])


def _values(command: Sequence[str], flag: str) -> Iterator[str]:
    """What a flag was given: ``--flag value`` or ``--flag=value``."""
    for place, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name == flag:
            yield value if equals else command[place + 1]


def _without(command: Sequence[str], flag: str) -> list[str]:
    """The command without that flag and its values."""
    kept: list[str] = []
    for word, before in zip(command, ["", *command], strict=False):
        if before != flag and word.partition("=")[0] != flag:
            kept.append(word)
    return kept
