"""python -m report history: every stored report in the order of time, in a table and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser
from contract.errors import UsageError
from contract.files import read_model, write_text
from contract.verdict import Report
from contract.workspace import Workspace
from report.runs.history_page import render_html
from report.runs.history_text import render_terminal
from report.runs.history_trends import trends


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m report history", description="Draw what all reports say, in the order of time.")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
    parser.add_argument("--last", type=int, default=50, metavar="N", help="the newest N reports")
    options = parser.parse_args(arguments)
    if options.last < 1:
        raise UsageError(f"--last is {options.last}; name at least one report")
    workspace = Workspace(options.workspace.resolve())
    reports = read_reports(workspace.reports)[-options.last :]
    found = trends(reports)
    page = workspace.reports / "history.html"
    write_text(page, render_html(reports, found))
    print(f"{render_terminal(reports, found)}\npage: {page}")
    return 0


def read_reports(folder: Path) -> list[Report]:
    """Every report below a folder, the oldest first. Raises UsageError where there is none or one cannot be read."""
    files = [file for file in folder.glob("*/report.json") if not file.parent.is_symlink()]  # `latest` is one of them
    if not files:
        raise UsageError(f"there is no report in {folder}; 'make loadtest' or 'python -m report RESULTS' writes one")
    reports = [read_model(file, Report, f"python -m report results/{file.parent.name}") for file in files]
    return sorted(reports, key=lambda report: (report.started, report.id))
