"""python -m report: results -> report.{html,md,json}; with --verdict, the gate: the newest verdict as an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser, run
from contract.errors import EXIT_MEANINGS
from contract.files import read_model, write_json, write_text
from contract.verdict import Report
from contract.workspace import Workspace
from report.assemble import assemble, recommend
from report.html import render_html
from report.markdown import render_markdown
from report.terminal import render_summary

EXIT_CODES = {"PASS": 0, "FAIL": 1, "INVALID": 4}


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m report", description="Judge results and write the report. Old results can be judged again."
    )
    parser.add_argument("results", nargs="?", type=Path, help="folder of a run; the newest if not given")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
    parser.add_argument(
        "--verdict", action="store_true", help="write nothing: exit with the code of the newest verdict"
    )
    parser.add_argument("--json", action="store_true", help="print report.json instead of the table")
    options = parser.parse_args(arguments)
    workspace = Workspace(options.workspace.resolve())
    if options.verdict:
        return _gate(workspace)
    results = (options.results or workspace.results / "latest").resolve()
    report = assemble(results)
    folder = write(report, workspace)
    print(report.model_dump_json(indent=2) if options.json else render_summary(report))
    if not options.json:
        print(f"\nreport: {folder / 'report.html'}")
    return 0


def write(report: Report, workspace: Workspace) -> Path:
    """Write every form of the report, then point ``reports/latest`` at it."""
    folder = workspace.reports / report.id
    write_text(folder / "report.html", render_html(report))
    write_text(folder / "report.md", render_markdown(report))
    write_json(folder / "recommendation.json", recommend(report))
    write_json(folder / "report.json", report)
    temporary = workspace.reports / f".latest-{os.getpid()}"
    temporary.symlink_to(folder.name)
    temporary.replace(workspace.reports / "latest")
    return folder


def _gate(workspace: Workspace) -> int:
    report = read_model(workspace.reports / "latest" / "report.json", Report, "make loadtest")
    code = EXIT_CODES[report.verdict]
    print(report.sentence)
    for winner in report.winners:
        print(f"  {winner.sentence}")
    print(f"exit code {code}: {EXIT_MEANINGS[code]}")
    return code


if __name__ == "__main__":
    run(main)
