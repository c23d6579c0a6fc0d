"""The forms of a report, a row each: its file below ``reports/<id>/`` and what renders it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contract.files import write_text
from contract.table import load
from contract.workspace import Workspace

if TYPE_CHECKING:
    from contract.verdict import Report


class Form(NamedTuple):
    """One form of the report."""

    file: str
    renderer: str  # "module:function" of Report -> text, imported when the form is asked for
    records: str = ""  # "module:function" of Report and the run's folder -> what the renderer takes beside the report


# report.json comes last: where it is, the others are.
FORMS = {
    "html": Form("report.html", "report.page.html:render_html", "report.page.beside:beside"),
    "md": Form("report.md", "report.forms.markdown:render_markdown"),
    "junit": Form("junit.xml", "report.forms.junit:render_junit"),
    "csv": Form("comparison.csv", "report.forms.csv_tables:render_csv"),
    "openslo": Form("slo.yaml", "report.forms.openslo:render_openslo"),
    "recommendation": Form("recommendation.json", "report.forms.documents:render_recommendation"),
    "json": Form("report.json", "report.forms.documents:render_json"),
}


def write(report: Report, workspace: Workspace, only: Iterable[str] = FORMS, results: Path | None = None) -> Path:
    """Write the forms of the report that are named, and return their folder.

    ``results`` is the folder of the run, wherever it lies; by default where the workspace has it.
    """
    folder = workspace.reports / report.id
    records = results or workspace.results / report.id
    wanted = set(only)
    for name, form in FORMS.items():
        if name in wanted:
            renderer: Callable[..., str] = load(form.renderer)
            more = [load(form.records)(report, records)] if form.records else []
            write_text(folder / form.file, renderer(report, *more))
    return folder


def point_latest(folder: Path) -> None:
    """Let ``reports/latest`` be this report, in one step: a reader sees the old one or the new one."""
    temporary = folder.parent / f".latest-{os.getpid()}"
    temporary.symlink_to(folder.name)
    temporary.replace(folder.parent / "latest")
