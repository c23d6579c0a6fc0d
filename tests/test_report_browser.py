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
from PIL import Image

from contract.statistics import PERCENTILES
from contract.verdict import Report
from report import words
from report.page.beside import NOTHING, Beside
from report.page.charts import Charts
from report.page.html import csv_of, render_html
from tests import report_rare_samples, report_samples, report_search_samples

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
    "rare": report_rare_samples.rare_report,
}
BESIDE: dict[str, Callable[[], Beside]] = {"rare": report_rare_samples.rare_beside}
LEAST_CONTRAST = 4.5  # WCAG 2, level AA, text of usual size
LIMIT_BYTES = 6_000_000
PHONE, DESK, WIDE = 360, 1280, 1920  # pixels wide
LEAST_COLOURS = 50  # of a picture; letters with smooth edges alone have more
TEXTS = {
    "color": ("h1", "p.lead", ".good", "nav a", "small", "table td", ".badge"),
    "fill": (".xtick text", ".ytick text", ".annotation-text"),
}
# How many marks are filled with a colour of the style sheet.
OF_COLOUR = """(marks, name) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const wanted = getComputedStyle(probe).color;
    probe.remove();
    return marks.filter(mark => getComputedStyle(mark).fill === wanted).length;
}"""
PROBE = """(name => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
})"""
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
            path.write_text(render_html(SAMPLES[sample](), BESIDE.get(sample, lambda: NOTHING)()))
        return path

    return file


@pytest.fixture(scope="module")
def opened(browser: Any, files: Callable[[str], Path]) -> Open:
    """``with opened("usual", width=360) as found``: a page that is drawn; at its end nothing may have gone wrong."""

    @contextmanager
    def open_page(sample: str, width: int = DESK, init: str = "", **context: Any) -> Iterator[Opened]:
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

        def page(sample: str, width: int = DESK) -> Opened:
            if (sample, width) not in pages:
                pages[sample, width] = stack.enter_context(opened(sample, width))
            return pages[sample, width]

        yield page


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_opens_from_disk_without_an_error_and_asks_for_nothing(sample: str, look: Look) -> None:
    assert look(sample, PHONE).problems == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_fits_a_phone_and_a_desk(sample: str, width: int, look: Look) -> None:
    assert look(sample, width).page.evaluate("document.scrollingElement.scrollWidth") <= width


REGION = "document.querySelector('#comparison .scroll')"


def test_the_comparison_takes_the_room_at_its_sides_and_the_text_keeps_its_measure(look: Look) -> None:
    page = look("usual", WIDE).page
    shown, whole = page.evaluate(f"[{REGION}.clientWidth, {REGION}.scrollWidth]")
    beside = page.evaluate("document.querySelector('#validity, main > section').clientWidth")
    assert whole <= shown + 1 and shown > beside  # nothing to scroll, in more than the text's width
    left, right = page.evaluate(f"(r => [r.left, innerWidth - r.right])({REGION}.getBoundingClientRect())")
    assert left >= 0 and right >= 0 and abs(left - right) < 20  # in the middle, but for a scroll bar
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_an_invalid_stage_is_red_on_a_phone_and_a_desk(width: int, look: Look) -> None:
    page = look("awkward", width).page
    colours = page.eval_on_selector_all(
        "#comparison .badge",
        "marks => marks.filter(m => m.offsetParent && m.textContent.startsWith('INVALID'))"
        ".map(m => getComputedStyle(m).color)",
    )
    bad = page.evaluate(f"{PROBE}('--bad')")
    assert colours and set(colours) == {bad}


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_picture_of_the_whole_page_is_as_wide_as_asked_and_not_blank(
    sample: str, width: int, look: Look, tmp_path: Path
) -> None:
    page, path = look(sample, width).page, tmp_path / f"{sample}-{width}.png"
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        assert picture.size == (width, page.evaluate("document.scrollingElement.scrollHeight"))
        colours = picture.convert("RGB").getcolors(maxcolors=picture.width * picture.height)
    assert colours is not None and len(colours) > LEAST_COLOURS


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_what_shares_its_cores_is_said_beside_every_chart_and_can_be_seen(width: int, look: Look) -> None:
    lines = look("usual", width).page.locator("figure .circumstances:visible")
    assert lines.count() == look("usual", width).page.locator("figure.chart").count()
    assert all("load generator and servers share 2 cores" in text for text in lines.all_text_contents())


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


def test_every_point_of_a_scaling_curve_is_a_mark_and_the_law_a_line(look: Look) -> None:
    found = report_rare_samples.rare_report().scaling
    assert found is not None and found.direct is not None and found.prediction is not None
    chart = look("rare").page.locator("#model-1-scaling")
    sought = [point for point in found.points if point.max_rps is not None]
    assert chart.locator("path.point").count() == len(found.points) + len(sought) + 1  # one without the proxy
    assert chart.locator(".js-line").count() == 3  # closed loop, highest rate, law
    assert look("rare").page.locator("#model-2-scaling").count() == 0


def test_what_each_server_used_is_a_line_in_each_of_three_panels(look: Look) -> None:
    sampled = [item for item in report_rare_samples.rare_report().variants if item.model == report_rare_samples.MODEL]
    for panel in range(3):
        plot = look("rare").page.locator(f"[data-chart='model-1-server'][data-panel='{panel}']")
        assert plot.locator(".js-line").count() == len(sampled)


def test_a_death_under_load_is_one_mark_of_its_own_colour_in_each_panel_over_time(look: Look) -> None:
    page = look("rare").page
    for panel in range(2):
        marks = page.locator(f"[data-chart='model-1-course'][data-panel='{panel}'] path.point")
        assert marks.evaluate_all(OF_COLOUR, "--bad") == 1
    assert page.locator("#model-2-course path.point").evaluate_all(OF_COLOUR, "--bad") == 0


def test_a_tail_is_drawn_in_steps_request_by_request(look: Look) -> None:
    steps = (
        look("rare")
        .page.locator("#model-1-tail .js-line")
        .evaluate_all("lines => lines.map(line => (line.getAttribute('d').match(/H/g) || []).length)")
    )
    first = [item for item in report_rare_samples.rare_report().variants if item.model == report_rare_samples.MODEL]
    assert len(steps) == 2 * len(first)  # latency and service
    assert all(count > 3 * len(PERCENTILES) for count in steps)


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
