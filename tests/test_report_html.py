"""The HTML report: safe, self-contained, complete without scripts; and the figures behind its charts."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from contract.statistics import PERCENTILES
from contract.verdict import Report
from report import words
from report.page.charts import PARTS, Charts
from report.page.html import TEMPLATES, csv_of, render_html
from report.page.style import styles
from tests import report_samples as samples

LIMIT_BYTES = 6_000_000
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """What a test asks of a page: elements in order, visible text, the content of each script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self.unclosed: list[str] = []
        self._in: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag in ("script", "style"):
            self._in = dict(attrs).get("id") or tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in:
            self.scripts[self._in] = self.scripts.get(self._in, "") + data
        else:
            self.text += data

    def ids(self) -> list[str]:
        return [name for _, attributes in self.elements if (name := attributes.get("id"))]


@pytest.fixture(scope="module", params=[samples.report, samples.awkward, samples.empty])
def any_report(request: pytest.FixtureRequest) -> Report:
    report: Report = request.param()
    return report


@pytest.fixture(scope="module")
def any_page(any_report: Report) -> Page:
    return Page(render_html(any_report))


@pytest.fixture(scope="module")
def awkward_page() -> Page:
    return Page(render_html(samples.awkward()))


@pytest.fixture(scope="module")
def good_page() -> Page:
    return Page(render_html(samples.report()))


def collapsed(text: str) -> str:
    return " ".join(text.split())


def test_the_page_is_one_file_under_six_megabytes() -> None:
    assert len(render_html(samples.report()).encode()) < LIMIT_BYTES


def test_every_element_is_closed(any_page: Page) -> None:
    assert any_page.unclosed == []


def test_ids_are_unique(any_page: Page) -> None:
    assert len(any_page.ids()) == len(set(any_page.ids()))


def test_no_element_refers_to_another_file(any_page: Page) -> None:
    for tag, attributes in any_page.elements:
        assert "src" not in attributes
        assert tag != "link"
        assert re.match(r"#|data:text/csv", attributes.get("href") or "#")


def test_the_style_sheet_loads_nothing() -> None:
    assert not re.search(r"url\(|@import|@font-face", (TEMPLATES / "report.css").read_text())


def test_the_page_forbids_itself_every_request(any_page: Page) -> None:
    policies = [a["content"] for tag, a in any_page.elements if tag == "meta" and "http-equiv" in a]
    assert policies and "default-src 'none'" in str(policies[0])


def test_links_within_the_page_have_their_target(any_page: Page) -> None:
    targets = {a["href"][1:] for _, a in any_page.elements if (a.get("href") or "").startswith("#")}  # type: ignore[index]
    assert targets <= set(any_page.ids())


def test_the_sections_come_in_the_order_of_what_matters(good_page: Page) -> None:
    order = ["verdict", "comparison", "winners", "warnings", "charts", "parity", "validity"]
    order += ["unserved", "noise", "fairness", "reproduce"]
    assert [name for name in good_page.ids() if name in order] == order


def test_the_verdict_is_a_word_and_not_only_a_colour(any_report: Report, any_page: Page) -> None:
    assert words.verdict(any_report).replace(":", "", 1) in collapsed(any_page.text)


def test_hostile_names_are_shown_and_never_become_elements(awkward_page: Page) -> None:
    assert samples.INJECTION in awkward_page.text
    assert not [tag for tag, attributes in awkward_page.elements if tag == "img" or "onerror" in attributes]


def test_the_embedded_report_is_the_report(any_report: Report, any_page: Page) -> None:
    assert "<" not in any_page.scripts["report-json"]
    assert Report.model_validate_json(any_page.scripts["report-json"]) == any_report


def test_a_figure_that_is_not_a_number_does_not_break_the_json() -> None:
    odd = samples.variant("m", "onnx", "triton", "http", first_request_ms=math.nan)
    page = Page(render_html(samples.report(variants=[odd])))
    assert json.loads(page.scripts["report-json"])["variants"][0]["first_request_ms"] is None


def test_there_is_one_comparison_row_per_variant(any_report: Report, any_page: Page) -> None:
    rows = [a["data-variant"] for tag, a in any_page.elements if tag == "tr" and "data-variant" in a]
    assert sorted(map(str, rows)) == sorted(variant.id for variant in any_report.variants)


def test_embedded_and_invalid_are_said_in_words(awkward_page: Page) -> None:
    for word in ("embedded", "stand-in", "interrupted", "INVALID", "parity failed", "needs ~2,400 more"):
        assert word in awkward_page.text


def test_every_reason_and_recommendation_can_be_read(awkward_page: Page) -> None:
    report, text = samples.awkward(), collapsed(awkward_page.text)
    reasons = [reason for variant in report.variants for reason in variant.not_ranked_because]
    advice = [c.recommendation for v in report.variants for s in v.stages for c in s.checks if c.recommendation]
    for sentence in [*reasons, *advice, *report.warnings, *report.unserved.values()]:
        assert collapsed(sentence) in text


def test_every_chart_has_its_figures_as_a_table_and_a_download(good_page: Page) -> None:
    figures = json.loads(good_page.scripts["figures"])
    downloads = [a for tag, a in good_page.elements if tag == "a" and str(a.get("href")).startswith("data:")]
    assert len(downloads) == len(figures) == 8
    assert good_page.text.count("Figures as a table") == len(figures)


def test_without_variants_there_is_no_chart_library() -> None:
    assert len(render_html(samples.empty())) < 100_000


def test_every_colour_of_a_chart_is_defined_in_both_themes(good_page: Page) -> None:
    used = set(re.findall(r"var\((--[\w-]+)\)", good_page.scripts["figures"]))
    light, dark = (TEMPLATES / "report.css").read_text().split("@media (prefers-color-scheme: dark)")
    assert used and all(f"{name}: #" in light and f"{name}: #" in dark for name in used)


def test_a_variant_looks_the_same_in_every_chart_and_unlike_its_neighbours() -> None:
    report = samples.report()
    looks = styles(report)
    for model in words.models(report):
        colors_of = {variant.id: looks[variant.id].color for variant in report.variants if variant.model == model}
        assert len(colors_of) == len(set(colors_of.values()))
        of_variants = [trace for trace in traces(report, model) if trace.get("meta")]
        assert {trace["meta"] for trace in of_variants} >= set(colors_of)
        for trace in of_variants:
            assert trace["line"]["color"] == looks[trace["meta"]].color


def test_variants_that_differ_only_in_configuration_get_names_and_colours_of_their_own() -> None:
    one = samples.variant("m", "onnx", "triton", "http")
    more = one.configuration.model_copy(update={"instances": 2})
    other = one.model_copy(update={"id": "other", "configuration": more})
    report = samples.report(variants=[one, other])
    assert len(set(words.labels(report).values())) == 2
    assert len({style.color for style in styles(report).values()}) == 2


def test_an_embedded_engine_is_dashed_and_hollow() -> None:
    found = [t for t in traces(samples.report(), "sentiment_keras") if "tfserving" in str(t.get("meta"))]
    assert found and all(trace["line"]["dash"] == "dash" for trace in found)
    assert all(symbol.endswith("-open") for trace in found for symbol in symbols(trace))


def test_an_invalid_stage_is_a_cross_and_says_so() -> None:
    name = "sentiment_torch__torchscript__triton__http"
    tail = [trace for trace in traces(samples.awkward(), "sentiment_torch", "-tail") if trace.get("meta") == name]
    service, latency = tail
    assert set(symbols(latency)) == {"x-open"} and all("INVALID" in text for text in latency["hovertext"])
    assert latency["line"]["dash"] == service["line"]["dash"] == "dot"


def test_a_percentile_that_cannot_be_claimed_is_hollow_and_a_missing_one_is_left_out() -> None:
    name = "sentiment_torch__onnx__triton__http"
    _, latency = (t for t in traces(samples.awkward(), "sentiment_torch", "-tail") if t.get("meta") == name)
    assert len(latency["x"]) == len(PERCENTILES) - 1
    assert latency["marker"]["symbol"][3] == "circle-open"
    assert "needs ~2,400 more" in latency["hovertext"][3]


def test_the_tail_axis_gives_every_nine_the_same_width() -> None:
    chart = Charts(samples.report(), "sentiment_torch").tail()
    ticks = chart.panels[0].figures[""]["layout"]["xaxis"]["tickvals"]
    assert ticks[4] - ticks[3] == pytest.approx(ticks[5] - ticks[4])


def test_the_bars_of_a_variant_add_up_to_its_mean() -> None:
    report = samples.report()
    chart = Charts(report, "sentiment_torch").attribution()
    stage = words.open_stage(report, report.variants[0])
    assert stage is not None and next(iter(chart.panels[0].figures)) == stage.name
    bars = chart.panels[0].figures[stage.name]["data"]
    parts = [getattr(stage.attribution_ms, part) for part in PARTS]
    assert [bar["x"][0] for bar in bars] == parts


def test_the_csv_holds_the_table_and_no_formula() -> None:
    report = samples.report(variants=[samples.variant("m", "=1+1", "triton", "http")])
    chart = Charts(report, "m").tradeoff()
    rows = list(csv.reader(io.StringIO(csv_of(chart))))
    assert rows[0] == list(chart.columns) and len(rows) == 1 + len(chart.rows)
    assert rows[1][0].startswith("'=1+1")


def test_names_are_escaped_in_hover_texts() -> None:
    report = samples.report(variants=[samples.variant("m", "<a href='x'>", "triton", "http")])
    texts = [trace.get(key) for trace in traces(report, "m") for key in ("hovertext", "hovertemplate", "text")]
    assert any(texts) and "<a" not in json.dumps(texts)


def symbols(trace: dict[str, Any]) -> list[str]:
    """The markers of a trace: none, one for all of its points, or one for each."""
    found = trace.get("marker", {}).get("symbol", [])
    return [found] if isinstance(found, str) else found


def traces(report: Report, model: str, ending: str = "") -> list[dict[str, Any]]:
    """The traces of a model's charts, of one kind of chart if ``ending`` is given."""
    return [
        trace
        for chart in Charts(report, model).all()
        if chart.id.endswith(ending)
        for panel in chart.panels
        for figure in panel.figures.values()
        for trace in figure["data"]
    ]
