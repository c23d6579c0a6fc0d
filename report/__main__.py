"""python -m report: results -> every form of the report; several runs side by side; the history of all of them.

With --verdict it is the gate: the newest verdict as an exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from contract.cli import Parser, run
from contract.errors import EXIT_MEANINGS, UsageError
from contract.files import read_model, write_text
from contract.table import load
from contract.workspace import Workspace
from report.forms.writing import FORMS, point_latest, write

if TYPE_CHECKING:
    from argparse import Namespace

    from contract.verdict import Report
    from report.runs.side_by_side import SideBySide

EXIT_CODES = {"PASS": 0, "FAIL": 1, "INVALID": 4}
# What is loaded when it is asked for: each of these needs packages that the others do not.
COMMANDS = {"history": "report.runs.history:main", "schema": "report.forms.schema:main"}
LOGS = {"tensorboard": "report.forms.tensorboard:log", "mlflow": "report.forms.mlflow:log"}


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        command: Callable[[Sequence[str]], int] = load(COMMANDS[arguments[0]])
        return command(arguments[1:])
    options = _parser().parse_args(arguments)
    workspace = Workspace(options.workspace.resolve())
    if options.verdict:
        _refuse_beside_the_verdict(options)
        return _gate(workspace)
    from report.assemble import assemble
    from report.runs.side_by_side import side_by_side

    wanted = [name for name in FORMS if name in (options.only or FORMS)]
    results = _each_once(options.results or [workspace.results / "latest"])
    reports = [assemble(folder) for folder in results]
    compared = side_by_side(reports) if len(reports) > 1 else None  # before anything is written: it may refuse
    folders = [write(report, workspace, wanted, own) for report, own in zip(reports, results, strict=True)]
    if compared is not None:
        _show_compared(compared, workspace, options.json)
    else:
        if "json" in wanted:
            point_latest(folders[0])
        _show(reports[0], folders[0] / FORMS[wanted[0]].file, options.json)
    for report, folder in zip(reports, folders, strict=True):  # last: what another program refuses is written by then
        _log(report, folder, {name: getattr(options, name) for name in LOGS})
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m report",
        description="Judge results and write the report. Old results can be judged again; several runs are compared.",
        epilog="python -m report history: the trend over all reports; python -m report schema: what report.json holds",
    )
    parser.add_argument("results", nargs="*", type=Path, help="folders of runs; the newest if none is given")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
    parser.add_argument("--only", nargs="+", choices=list(FORMS), help="write these forms; all if not given")
    parser.add_argument("--tensorboard", metavar="DIR", help="write the figures as scalars of TensorBoard, too")
    parser.add_argument("--mlflow", metavar="URI", help="log parameters, figures and the report as a run, too")
    parser.add_argument(
        "--verdict", action="store_true", help="write nothing, take no runs: exit with the code of the newest verdict"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser


def _each_once(named: Sequence[Path]) -> list[Path]:
    """The folders of the runs; UsageError where one is named twice, as by ``results/*``, which holds `latest`."""
    found: list[Path] = []
    for path in named:
        folder = path.resolve()
        if folder in found:
            raise UsageError(f"{path} is {folder}, which is named already; name each run once")
        found.append(folder)
    return found


def _refuse_beside_the_verdict(options: Namespace) -> None:
    """The gate reads one report; who names a run beside it would be given the verdict of another one."""
    flags = [f"--{name}" for name in ("only", "json", *LOGS) if getattr(options, name)]
    given = [*map(str, options.results), *flags]
    if given:
        raise UsageError(f"--verdict reads reports/latest and takes no runs or forms; leave out {', '.join(given)}")


def _log(report: Report, folder: Path, targets: dict[str, str | None]) -> None:
    for name, target in targets.items():
        if target is not None:
            log: Callable[[Report, Path, str], str] = load(LOGS[name])
            print(log(report, folder, target), file=sys.stderr)  # what is printed may be JSON for a program


def _show(report: Report, file: Path, as_json: bool) -> None:
    from report.forms.documents import render_json
    from report.forms.terminal import render_summary

    print(render_json(report).rstrip() if as_json else f"{render_summary(report)}\nreport: {file}")


def _show_compared(found: SideBySide, workspace: Workspace, as_json: bool) -> None:
    from report.runs.side_by_side_text import render_json, render_markdown, render_terminal

    folder = workspace.reports / "compared" / found.name
    write_text(folder / "comparison.md", render_markdown(found))
    write_text(folder / "comparison.json", render_json(found))
    print(
        render_json(found).rstrip() if as_json else f"{render_terminal(found)}\ncomparison: {folder / 'comparison.md'}"
    )


def _gate(workspace: Workspace) -> int:
    from contract.verdict import Report

    report = read_model(workspace.reports / "latest" / "report.json", Report, "make loadtest")
    code = EXIT_CODES[report.verdict]
    print(report.sentence)
    for winner in report.winners:
        print(f"  {winner.sentence}")
    print(f"exit code {code}: {EXIT_MEANINGS[code]} (report {report.id})")
    return code


if __name__ == "__main__":
    run(main)
