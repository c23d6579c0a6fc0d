"""The history: every stored report in the order of time, what it measured, and what changed in between."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from contract.files import write_json
from contract.search import Search
from contract.verdict import Report
from report import words
from report.__main__ import main
from report.runs.history import read_reports
from report.runs.history_page import HEIGHT, MARGIN, draw, render_html
from report.runs.history_text import BLOCKS, render_terminal, sparkline
from report.runs.history_trends import Trend, changes, trends, undrawn
from tests import report_samples as samples
from tests.builders import MACHINE


def day(number: int, speed: float = 3.1, **changes: Any) -> Report:
    """One report of one variant on one day of January."""
    one = samples.variant("words", "onnx", "triton", "http")
    stages = [samples.stage("closed-4", speed), samples.stage("open-200", speed)]
    fields: dict[str, Any] = {
        "id": f"202601{number:02}-120000",
        "started": f"2026-01-{number:02}T12:00:00Z",
        "variants": [one.model_copy(update={"stages": stages})],
        "objectives": {"words": {"rate": 200, "p99_ms": 50, "error_rate": 0.001}},
        "winners": [],
        "unserved": {},
    }
    return samples.report(**(fields | changes))


def p99(found: list[Trend]) -> Trend:
    return next(trend for trend in found if trend.figure.name == "p99")


@pytest.fixture
def stored(tmp_path: Path) -> list[Report]:
    """Twelve days, written in another order than that of time, with `latest` beside them."""
    reports = [day(number, 3.0 + number / 10) for number in range(1, 13)]
    for report in reversed(reports):
        write_json(tmp_path / "reports" / report.id / "report.json", report)
    (tmp_path / "reports" / "latest").symlink_to(reports[-1].id)
    (tmp_path / "reports" / "compared").mkdir()
    return reports


def test_reports_are_read_once_each_in_the_order_of_time(stored: list[Report], tmp_path: Path) -> None:
    assert [report.id for report in read_reports(tmp_path / "reports")] == [report.id for report in stored]


def test_the_command_draws_a_table_and_a_page(
    stored: list[Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", "--workspace", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"p99, ms +\S+  [▁-█]{12} +\S+  objective 50", shown)
    assert (tmp_path / "reports" / "history.html").is_file()


def test_the_newest_reports_alone_can_be_asked_for(
    stored: list[Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["history", "--workspace", str(tmp_path), "--last", "3"])
    assert "3 reports, 20260110-120000 to 20260112-120000" in capsys.readouterr().out


def test_without_reports_the_next_step_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no report in .*make loadtest"):
        main(["history", "--workspace", str(tmp_path)])
    with pytest.raises(UsageError, match="at least one"):
        main(["history", "--workspace", str(tmp_path), "--last", "0"])


def test_a_trend_holds_the_figures_of_every_report() -> None:
    reports = [day(1, 3.0), day(2, 6.0)]
    found = p99(trends(reports))
    assert found.values == [report.variants[0].stages[1].latency_ms.p99.value for report in reports]
    assert found.limit == 50


def test_a_report_without_the_variant_or_with_an_invalid_stage_leaves_a_gap() -> None:
    bad = day(3).variants[0].model_copy(update={"stages": [samples.invalid_stage("open-200", 3.1)]})
    reports = [day(1), day(2, variants=[]), day(3, variants=[bad]), day(4, 4.0)]
    found = p99(trends(reports))
    assert [reading.value is None for reading in found.readings] == [False, True, True, False]
    assert sparkline(found) == "▁··█"
    assert len(draw(found).lines) == 2


def test_what_a_search_confirmed_at_a_rate_of_its_own_is_no_latency_of_the_history() -> None:
    search = Search(
        schema_version=1, resolution=0.1, probe_s=3, confirm_s=10, complete=True, found=[], seconds=60, grid_seconds=300
    )
    stages = [samples.stage("open-350", 3.1, purpose="confirm")]
    found = trends([day(1, search=search, variants=[day(1).variants[0].model_copy(update={"stages": stages})])])
    assert [trend.figure.name for trend in found] == ["max rate"]


def test_a_p99_at_another_rate_than_the_promised_one_is_no_figure_of_the_trend() -> None:
    other = day(2)
    stages = [samples.invalid_stage("open-200", 3.1), samples.stage("open-300", 3.1)]
    other = other.model_copy(update={"variants": [other.variants[0].model_copy(update={"stages": stages})]})
    before, after = p99(trends([day(1), other])).readings
    assert before.value is not None and after.value is None


def test_another_promised_rate_and_another_load_plan_are_said_for_their_figures_are_others() -> None:
    before, after = day(1), day(2)
    promised = {model: limits | {"rate": 300.0} for model, limits in after.objectives.items()}
    after = after.model_copy(update={"objectives": promised, "load_plan": "map"})
    assert list(changes(before, after)) == [
        "load plan of [load] -> map",
        "promised rate of words 200 -> 300 req/s",
    ]


def test_other_objectives_at_the_same_rate_are_said_and_marked() -> None:
    promised = {"words": {"rate": 200.0, "p99_ms": 20.0, "p999_ms": 80.0, "error_rate": 0.01}}
    reports = [day(1), day(2, objectives=promised)]
    assert list(changes(*reports)) == [
        "promised p99 of words 50 -> 20 ms",
        "promised error rate of words 0.001 -> 0.01",
        "promised p99.9 of words none -> 80 ms",
    ]
    assert sparkline(p99(trends(reports))).count("|") == 1
    assert "promised p99 of words 50" in render_html(reports, trends(reports))


def test_a_model_that_only_one_report_has_is_no_change_of_what_was_promised() -> None:
    alone = {"other": {"rate": 100.0, "p99_ms": 20.0}}
    assert list(changes(day(1), day(2, objectives={**day(1).objectives, **alone}))) == []
    assert list(changes(day(1), day(2, objectives=alone))) == []


def test_changed_versions_and_machines_are_marked() -> None:
    newer = {**day(1).versions, "locust": "2.48.0"}
    reports = [day(1), day(2, versions=newer), day(3, versions=newer, machine=MACHINE)]
    assert list(changes(*reports[:2])) == ["locust 2.47.0 -> 2.48.0"]
    found = p99(trends(reports))
    assert sparkline(found).count("|") == 2
    shown = render_terminal(reports, trends(reports))
    assert "20260102-120000: locust 2.47.0 -> 2.48.0" in shown
    assert "processor AMD EPYC 7763 -> A processor" in shown
    assert render_html(reports, trends(reports)).count('class="changed"') == 2 * len(trends(reports))


def test_the_least_value_is_the_lowest_block_and_the_greatest_the_highest() -> None:
    found = p99(trends([day(number, speed) for number, speed in ((1, 3.0), (2, 3.9), (3, 5.0))]))
    assert sparkline(found) == f"{BLOCKS[0]}{BLOCKS[3]}{BLOCKS[-1]}"


def test_a_drawing_begins_at_zero_and_holds_the_objective() -> None:
    found = draw(p99(trends([day(1), day(2)])))
    assert found.limit_y == pytest.approx(MARGIN)
    value = p99(trends([day(1)])).values[0]
    assert found.marks[0].y == pytest.approx(MARGIN + (HEIGHT - 2 * MARGIN) * (1 - value / 50))


class Page(HTMLParser):
    """The tags of a page in order; unclosed ones are an error."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("reports", [[day(1), day(2)], [samples.awkward()], [samples.empty()]])
def test_the_page_is_small_whole_and_asks_for_nothing(reports: list[Report]) -> None:
    html = render_html(reports, trends(reports))
    page = Page(html)
    assert len(html.encode()) < 100_000
    assert {"script", "img", "link", "iframe"} & set(page.tags) == set()
    assert not re.search(r"""(?:src|href)=["'](?!#)""", html) and "url(" not in html.split("</style>")[1]
    assert page.tags.count("svg") == len(trends(reports))


def test_control_characters_do_not_reach_the_terminal() -> None:
    reports = [day(1), day(2, versions={"locust": "\x1b[2J"})]
    assert "\x1b" not in render_terminal(reports, trends(reports))


def spoiled(number: int) -> Report:
    """A day on which another model was measured too, and every stage of it was INVALID."""
    names = [("http", "words2"), ("grpc", "words2")]
    bad = [samples.stage("closed-4", 3.0, valid=False), samples.invalid_stage("open-200", 3.0)]
    lost = [samples.variant(model, "onnx", "triton", protocol, stages=bad) for protocol, model in names]
    return day(number, variants=[*day(number).variants, *lost])


def test_a_model_whose_every_figure_was_invalid_is_named_and_not_dropped() -> None:
    reports = [day(1), spoiled(2)]
    sentence = "words2: none of its 2 variants has a valid figure at the promised rate in any of these reports."
    assert undrawn(reports, trends(reports)) == [sentence]
    assert sentence in render_terminal(reports, trends(reports))
    assert f"<p>{sentence}</p>" in render_html(reports, trends(reports))
    assert undrawn([day(1)], trends([day(1)])) == [] and "Not drawn" not in render_html([day(1)], trends([day(1)]))


def test_one_variant_of_several_without_a_figure_is_named_by_itself() -> None:
    report = spoiled(1)
    mended = [
        item.model_copy(update={"stages": day(1).variants[0].stages}) if item.protocol == "http" else item
        for item in report.variants
    ]
    reports = [report.model_copy(update={"variants": mended})]
    assert undrawn(reports, trends(reports)) == [
        "words2: onnx on Triton, gRPC: never has a valid figure at the promised rate in any of these reports."
    ]


def test_one_point_is_no_arrow_from_itself_to_itself() -> None:
    one, two = [day(1)], [day(1), day(2, 3.4)]
    value = words.number(p99(trends(one)).values[0])
    assert p99(trends(one)).ends == p99(trends(one)).values
    assert "→" not in render_html(one, trends(one)) and f"<p>{value}; objective" in render_html(one, trends(one))
    assert "→" in render_html(two, trends(two))
    (line,) = [text for text in render_terminal(one, trends(one)).splitlines() if text.startswith("  p99, ms")]
    assert line.count(value) == 1
