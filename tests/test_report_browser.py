"""The report in a real browser, opened from disk: drawn, sorted, worked by mouse and keyboard, on a phone, on paper.

Opening a page is what takes time, so tests that only look share one; those that change something have their own.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract.verdict import Report
from report import words
from report.page.charts import Charts
from report.page.html import csv_of, render_html
from tests import report_samples, report_search_samples

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[dev]'")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on PATH: apt-get install chromium", allow_module_level=True)

SAMPLES: dict[str, Callable[[], Report]] = {
    "usual": report_samples.report,
    "searched": report_search_samples.search_report,
    "mapped": report_search_samples.map_report,
    "awkward": report_samples.awkward,
    "empty": report_samples.empty,
}
LEAST_CONTRAST = 4.5  # WCAG 2, level AA, text of usual size
LIMIT_BYTES = 6_000_000
PHONE = 360  # pixels wide
TEXTS = {
    "color": ("h1", "p.lead", ".good", "nav a", "small", "table td", ".badge"),
    "fill": (".xtick text", ".ytick text", ".annotation-text"),
}
MARKS = "path.point, .barlayer .point path, .js-line"


@dataclass
class Opened:
    """A page and what went wrong while it was open."""

    page: Any
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Collect errors, and every request but the one for the page itself."""
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url[:80]}"))
        self.page.on("request", self._requested)

    def _requested(self, request: Any) -> None:
        if not re.match(r"file:.*/page\.html|data:|blob:", request.url):
            self.problems.append(f"asked for {request.url[:80]}")


Open = Callable[..., AbstractContextManager[Opened]]
Look = Callable[..., Opened]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of each sample on disk, made when it is first asked for."""
    root = tmp_path_factory.mktemp("pages")

    def file(sample: str) -> Path:
        path = root / sample / "page.html"
        if not path.exists():
            path.parent.mkdir()
            path.write_text(render_html(SAMPLES[sample]()))
        return path

    return file


@pytest.fixture(scope="module")
def opened(browser: Any, files: Callable[[str], Path]) -> Open:
    """``with opened("usual", width=360) as found``: a page that is drawn; at its end nothing may have gone wrong."""

    @contextmanager
    def open_page(sample: str, width: int = 1280, init: str = "", **context: Any) -> Iterator[Opened]:
        scope = browser.new_context(viewport={"width": width, "height": 900}, **context)
        found = Opened(scope.new_page())
        found.watch()
        if init:
            found.page.add_init_script(init)
        found.page.goto(files(sample).as_uri())
        if context.get("java_script_enabled", True):
            found.page.wait_for_selector("html[data-ready]")
        try:
            yield found
        finally:
            scope.close()
        assert found.problems == []

    return open_page


@pytest.fixture(scope="module")
def look(opened: Open) -> Iterator[Look]:
    """``look("usual", 360)``: the page of a sample that tests share, to look at and not to change."""
    with ExitStack() as stack:
        pages: dict[tuple[str, int], Opened] = {}

        def page(sample: str, width: int = 1280) -> Opened:
            if (sample, width) not in pages:
                pages[sample, width] = stack.enter_context(opened(sample, width))
            return pages[sample, width]

        yield page


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_opens_from_disk_without_an_error_and_asks_for_nothing(sample: str, look: Look) -> None:
    assert look(sample, PHONE).problems == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_fits_a_phone(sample: str, look: Look) -> None:
    assert look(sample, PHONE).page.evaluate("document.scrollingElement.scrollWidth") <= PHONE


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_chart_is_drawn(sample: str, look: Look) -> None:
    report = SAMPLES[sample]()
    panels = [
        (chart.id, place)
        for model in words.models(report)
        for chart in Charts(report, model).all()
        for place in range(len(chart.panels))
    ]
    page = look(sample, PHONE).page
    assert page.locator(".plot").count() == len(panels)
    for chart, place in panels:
        assert page.locator(f"[data-chart='{chart}'][data-panel='{place}']").locator(MARKS).count() > 0, chart


def test_a_chart_has_one_mark_for_each_of_its_figures(look: Look) -> None:
    tradeoff = Charts(report_samples.report(), "sentiment_torch").tradeoff()
    assert look("usual").page.locator(f"#{tradeoff.id} path.point").count() == len(tradeoff.rows)


def test_a_search_shows_every_step_that_it_took(look: Look) -> None:
    report = report_search_samples.search_report()
    assert report.search is not None
    sought = [report.search.of(v.id) for v in report.variants if v.model == "sentiment_torch"]
    steps = sum(len(found.probes) for found in sought if found is not None)
    # Of every variant also the two ends of its answer.
    chart = look("searched", PHONE).page.locator("#model-1-search")
    assert chart.locator("path.point").count() == steps + 2 * len(sought)
    assert "wanted: 200 req/s" in chart.text_content()


def test_a_stage_is_chosen_and_drawn(opened: Open) -> None:
    bar = "#model-1-attribution .barlayer .point path"
    with opened("usual") as found:
        before = found.page.locator(bar).first.get_attribute("d")
        found.page.select_option("[data-stage='model-1-attribution']", "closed-1")
        assert found.page.locator(bar).first.get_attribute("d") != before
        found.page.select_option("[data-stage='model-1-course']", "the whole run")
        ticks = found.page.locator("#model-1-course .xtick text").all_text_contents()
        assert ticks[:4] == ["closed-1", "closed-4", "closed-16", "open-200"]


def column(page: Any, heading: int) -> list[float]:
    """The sort keys of a column in the order of the rows of the first model."""
    rows = page.locator("table.comparison tbody").first.locator("tr.variant")
    return [float(rows.nth(row).locator("> *").nth(heading).get_attribute("data-sort")) for row in range(rows.count())]


def test_a_heading_sorts_up_then_down_then_as_measured_and_never_lifts_what_is_not_ranked(look: Look) -> None:
    rows = "table.comparison tbody:nth-of-type(2) tr.variant"
    page = look("usual").page
    headings = page.locator(".titles th").all_text_contents()
    place = next(place for place, text in enumerate(headings) if text.strip().startswith("p50"))
    heading = page.locator(".titles th").nth(place)
    measured = column(page, place)
    assert len(set(measured)) == len(measured) > 2
    for state, order in (
        ("ascending", sorted(measured)),
        ("descending", sorted(measured, reverse=True)),
        ("none", measured),
    ):
        heading.locator("button").click()
        assert (heading.get_attribute("aria-sort"), column(page, place)) == (state, order)
        unranked = page.locator(rows).evaluate_all("rows => rows.map(r => r.classList.contains('unranked'))")
        assert unranked == sorted(unranked) and any(unranked)


def test_pointing_at_a_marker_shows_its_exact_values(look: Look) -> None:
    stage = report_samples.report().variants[0].stages[0]
    chart = look("usual").page.locator("#model-1-tradeoff")
    chart.scroll_into_view_if_needed()
    chart.locator("path.point").first.hover(force=True)
    text = chart.locator(".hoverlayer").text_content()
    assert f"throughput {words.number(stage.throughput_rps)} req/s" in text
    assert f"p99 {words.number(stage.latency_ms.p99.value)} ms" in text


def test_pointing_at_a_course_shows_all_variants_at_that_moment(look: Look) -> None:
    plot = look("usual").page.locator("[data-chart='model-1-course'][data-panel='0']")
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 200, "y": 120})
    shown = re.findall(r"(\w+ on Triton, \w+): ([\d.,]+) req/s", plot.locator(".hoverlayer").text_content())
    assert len(shown) == 4 and all("." in figure for _, figure in shown)


def test_a_variant_is_hidden_in_every_chart_of_its_model(opened: Open) -> None:
    with opened("usual") as found:
        before = found.page.locator("#model-1-tradeoff path.point").count()
        found.page.locator("[data-toggle]").first.click()
        assert found.page.locator("[data-toggle]").first.get_attribute("aria-pressed") == "false"
        assert found.page.locator("#model-1-tradeoff path.point").count() == before - 4
        assert found.page.locator("#model-1-tail .scatterlayer .trace").count() == 2 * 3 + 1


def test_the_keyboard_reaches_every_control_and_works_it(opened: Open) -> None:
    with opened("usual") as found:
        page = found.page
        wanted = page.locator("a:visible, button:visible, select:visible, summary:visible, [tabindex='0']:visible")
        reached: set[int] = set()
        page.evaluate(
            "window.places = new Map(); let n = 0; document.querySelectorAll('*').forEach(e => places.set(e, n++))"
        )
        for _ in range(wanted.count() + 5):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("places.get(document.activeElement)"))
        missing = wanted.evaluate_all(
            "(all, reached) => all.filter(e => !reached.includes(places.get(e))).map(e => e.outerHTML.slice(0, 80))",
            list(reached),
        )
        assert missing == []
        page.locator(".titles th button").first.focus()
        page.keyboard.press("Enter")
        assert page.locator(".titles th").first.get_attribute("aria-sort") == "ascending"
        assert page.locator("#sorted").text_content() == "Sorted by Format, ascending"
        page.locator("[data-toggle]").first.focus()
        page.keyboard.press("Space")
        assert page.locator("[data-toggle]").first.get_attribute("aria-pressed") == "false"


def test_each_chart_and_map_can_be_downloaded_as_csv(look: Look) -> None:
    page = look("mapped", PHONE).page
    for link in ("#model-1-tradeoff .download a", "#map .download a"):
        text = downloaded(page, link, ".csv")
        assert text.count("\n") > 10
        if "tradeoff" in link:
            assert text == csv_of(Charts(report_search_samples.map_report(), "sentiment_torch").tradeoff())


def test_the_report_can_be_taken_out_of_its_page(look: Look) -> None:
    text = downloaded(look("usual").page, "#report-download", "report.json")
    assert Report.model_validate(json.loads(text)) == report_samples.report()


def downloaded(page: Any, link: str, ending: str) -> str:
    """What a link of the page saves."""
    with page.expect_download() as download:
        page.locator(link).first.click()
    assert download.value.suggested_filename.endswith(ending)
    return Path(download.value.path()).read_text()


def luminance(color: str) -> float:
    """Relative luminance of a computed ``rgb(…)``, by WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast of two computed colours, by WCAG 2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_dark_and_light_are_both_legible_and_the_page_follows_a_change(opened: Open) -> None:
    stroke = "getComputedStyle(document.querySelector('#model-1-tradeoff .js-line')).stroke"
    seen = []
    with opened("usual", color_scheme="light") as found:
        page = found.page
        for scheme in ("light", "dark"):
            before = page.evaluate(stroke)
            page.emulate_media(color_scheme=scheme)
            if scheme == "dark":
                page.wait_for_function(f"before => {stroke} !== before", arg=before)
            background = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
            colors = {
                place: page.locator(place).first.evaluate(f"e => getComputedStyle(e).{kind}")
                for kind, places in TEXTS.items()
                for place in places
            }
            assert {p: c for p, c in colors.items() if contrast(c, background) < LEAST_CONTRAST} == {}
            seen.append([background, *colors.values(), page.evaluate(stroke)])
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_on_paper_it_has_pages_and_is_itself_again_afterwards(opened: Open) -> None:
    stroke = "getComputedStyle(document.querySelector('#model-1-tradeoff .js-line')).stroke"
    with opened("searched", color_scheme="dark") as found:
        before = found.page.evaluate(stroke)
        printed = found.page.pdf(prefer_css_page_size=True)
        assert printed.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", printed)) >= 5
        assert "printing" not in (found.page.locator("html").get_attribute("class") or "")
        assert found.page.evaluate(stroke) == before


def test_without_scripts_every_figure_is_in_a_table(opened: Open) -> None:
    with opened("mapped", java_script_enabled=False) as found:
        page = found.page
        assert not page.locator(".needs-script").first.is_visible()
        assert "every figure of theirs is in the tables" in page.locator("#charts noscript").text_content()
        assert page.locator("#charts table").count() == page.locator("figure.chart").count()
        assert page.locator("#map td.won").first.is_visible()


def test_a_browser_that_cannot_unpack_the_library_says_so_in_each_charts_place(opened: Open) -> None:
    with opened("usual", init="delete window.DecompressionStream") as found:
        texts = found.page.locator(".plot").all_text_contents()
        assert texts and all("cannot unpack the drawing library" in text for text in texts)


def test_forty_variants_through_a_search_are_still_below_the_limit() -> None:
    one = report_search_samples.search_report()
    assert one.search is not None
    names = {v.id: [f"{v.id}{number}" for number in range(4)] for v in one.variants}
    many = [v.model_copy(update={"id": name}) for v in one.variants for name in names[v.id]]
    found = [f.model_copy(update={"variant": name}) for f in one.search.found for name in names[f.variant]]
    search = one.search.model_copy(update={"found": found})
    report = one.model_copy(update={"variants": many, "search": search})
    assert len(render_html(report).encode()) < LIMIT_BYTES
