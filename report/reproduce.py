"""How to come to each number again: one command per section of the report, and per variant alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from contract.verdict import Report
from report.page.winner_map import rows_of

ASKED = ("configure", "scale")  # runs whose stages were asked for one at a time, by the name of their plan


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
        Step("parity", "Parity of the files", "make export", "export every model and prove each file"),
        Step("parity", "Parity, cold start", "make serve", "load every model, time it, prove engine and endpoint"),
        Step("noise", "Load generator", "python -m loadtest certify", "find what the load generator itself can do"),
        Step("comparison", "Comparison, charts, validity", measure, f"every variant is loaded, {named}"),
    ]
    if any(rows_of(stage) is not None for variant in report.variants for stage in variant.stages):
        command = "python -m loadtest --plan map"
        found.append(Step("map", "Winner map", command, "all numbers of users at all numbers of rows"))
    again = f"python -m report results/{report.id}"
    return [*found, Step("verdict", "This page", again, "judge the same records again, without measuring")]


def road(report: Report) -> list[tuple[str, str]]:
    """The shortest way to this report again: commands, and what each does."""
    again = f"python -m report results/{report.id}", "make this report again from the same records"
    if report.load_plan in ASKED:
        return [("make export serve", "start from the trained models"), (_measuring(report), "measure again"), again]
    plan = f" PLAN={report.load_plan}" if report.load_plan and not report.search else ""
    goal = "slo" if report.search else f"loadtest{plan}"
    return [(f"make export serve {goal}", "measure again, on your machine"), again]


def alone(report: Report) -> list[tuple[str, str]]:
    """Per variant: its id and the command that measures it and nothing else."""
    command = _measuring(report)
    return [(variant.id, f"{command} --variant {variant.id}") for variant in report.variants]


def _measuring(report: Report) -> str:
    """The command that made the records."""
    if report.load_plan in ASKED:  # whose confirmations are searches of their own
        return f"python -m tune {report.load_plan}"
    if report.search:
        return "python -m tune search"
    return "python -m loadtest" + (f" --plan {report.load_plan}" if report.load_plan else "")
