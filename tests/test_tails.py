"""The tail chart shows the requests themselves where the records are there, and says so where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.statistics import PERCENTILES, order_statistic
from contract.workspace import Workspace
from report.__main__ import main
from report.figures.tails import POINTS, order_statistics, tails_of
from report.forms.writing import write
from report.page.beside import Beside
from report.page.charts import Charts
from report.page.html import render_html
from tests import report_samples as samples
from tests.report_runs import Run, real
from tests.test_report_html import LIMIT_BYTES

ID = "20260131-120000"
JOINED = "The lines only join the percentiles"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "results" / ID
    folder.mkdir(parents=True)
    return Run(folder)


@pytest.mark.parametrize("count", [1, 2, 99, 1_000, 100_000])
def test_every_point_is_a_request_at_its_own_rank(count: int) -> None:
    values = np.random.default_rng(3).lognormal(1.0, 0.5, count).round(3)
    curve = order_statistics(values)
    ordered = np.sort(values)
    assert all(ms == ordered[round(share * count)] for share, ms in curve)
    assert [share for share, _ in curve] == sorted({share for share, _ in curve})
    assert (curve[0][1], curve[-1][1]) == (ordered[0], ordered[-1])
    assert len(curve) <= POINTS + len(PERCENTILES)


def test_the_named_percentiles_lie_on_the_curve_and_the_slowest_requests_are_all_there() -> None:
    values = np.random.default_rng(3).lognormal(1.0, 0.5, 20_000).round(3)
    curve = order_statistics(values)
    shown = {ms for _, ms in curve}
    assert {order_statistic(np.sort(values), p) for p in PERCENTILES.values()} <= shown
    assert set(np.sort(values)[-10:].tolist()) <= shown


def lines(chart: Any) -> list[Any]:
    return [t for t in chart.panels[0].figures[""]["data"] if t.get("line", {}).get("shape") == "hv"]


def test_latency_and_service_of_the_judged_stage_are_drawn_from_its_records(run: Run) -> None:
    run.add(real(), 20.0)
    report = run.report()
    tails = tails_of(report, run.folder)
    chart = Charts(report, "words", tails).tail()
    service, latency = lines(chart)
    assert latency["y"][0] == pytest.approx(18.0, rel=0.001) and latency["y"][-1] == pytest.approx(22.0, rel=0.001)
    assert len(latency["y"]) > 100 and len(service["y"]) == len(latency["y"])
    assert "the requests themselves" in chart.note and JOINED not in chart.note


def test_the_written_page_has_them_and_a_page_without_the_records_says_that_lines_join_percentiles(run: Run) -> None:
    run.add(real(), 20.0)
    report = run.report()
    folder = write(report, Workspace(run.folder.parent.parent), ["html"])
    page = (folder / "report.html").read_text()
    assert '"shape":"hv"' in page and JOINED not in page
    elsewhere = write(report, Workspace(run.folder / "elsewhere"), ["html"])
    assert JOINED in (elsewhere / "report.html").read_text()


def test_a_run_outside_the_workspace_is_drawn_from_its_own_records(run: Run, tmp_path: Path) -> None:
    run.add(real(), 20.0)
    written = run.write()
    archived = run.folder.rename(tmp_path / "archived")
    assert main([str(archived), "--workspace", str(tmp_path / "elsewhere"), "--only", "html"]) == 0
    page = (tmp_path / "elsewhere" / "reports" / written.id / "report.html").read_text()
    assert '"shape":"hv"' in page and JOINED not in page


def test_records_of_another_measurement_are_not_taken_for_those_of_the_report(run: Run) -> None:
    run.add(real(), 20.0)
    report = run.report()
    stages = [stage.model_copy(update={"requests": stage.requests + 1}) for stage in report.variants[0].stages]
    other = report.model_copy(update={"variants": [report.variants[0].model_copy(update={"stages": stages})]})
    assert tails_of(other, run.folder) == {}


def test_ten_variants_of_real_tails_leave_the_page_small(run: Run) -> None:
    run.add(real(), 20.0)
    (tail,) = tails_of(run.report(), run.folder).values()
    report = samples.report()
    page = render_html(report, Beside({variant.id: tail for variant in report.variants}))
    assert '"shape":"hv"' in page
    assert len(page.encode()) < LIMIT_BYTES
