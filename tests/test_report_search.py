"""What the page says of a search: advice first, the rates as a table, every step in a chart, and no probe elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contract.search import Search
from contract.verdict import MaxRate, Report
from report import words
from report.beside import reproduce
from report.page import rates
from report.page.charts import Charts
from report.page.charts.tradeoff import judged_percentile
from report.page.figures import Chart
from report.page.html import render_html
from tests import report_samples as samples
from tests.report_search_samples import map_report, search_report

MODEL = "sentiment_torch"


@pytest.fixture(scope="module")
def report() -> Report:
    return search_report()


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_html(report)


def search_of(report: Report) -> Search:
    assert report.search is not None
    return report.search


def section(page: str, name: str) -> str:
    return page[page.index(f'id="{name}"') :].split("</section>")[0]


def names(chart: Chart) -> list[str]:
    """The stages that a chart lets a person choose from."""
    return list(chart.panels[0].figures)


def drawn(chart: Chart, name: str = "") -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = chart.panels[0].figures[name]["data"]
    return traces


def test_what_to_serve_stands_right_below_the_verdict(report: Report, page: str) -> None:
    places = [page.index(advice) for advice in report.advice.values()]
    assert page.index("<h1>") < min(places) and max(places) < page.index("<nav")
    assert 'class="advice"' not in render_html(samples.report())


def test_the_table_tells_what_is_kept_what_is_missed_and_what_ended_it(report: Report) -> None:
    line = rates.lines(report, MODEL)[0]
    answer = line.variant.slo.max_rps
    assert (line.value, line.missed) == (words.number(answer.value), words.number(answer.high))
    assert (line.limited_by, line.steps) == ("the server", "5 kept, 2 missed, 1 unclear")
    assert line.seconds == search_of(report).found[0].seconds


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("load generator", "the load generator"),
        ("answers", "failed requests"),
        ("range", "nothing: no tried rate was missed"),
        ("", "the search was interrupted"),
    ],
)
def test_what_ended_a_search_is_said_in_words(limit: Any, said: str, report: Report) -> None:
    first = report.variants[0]
    rate = MaxRate(value=100, low=100, high=None, limited_by=limit)
    ended = first.model_copy(update={"slo": first.slo.model_copy(update={"max_rps": rate})})
    search = search_of(report)
    found = search.found[0].model_copy(update={"limited_by": limit})
    other = report.model_copy(
        update={"variants": [ended], "search": search.model_copy(update={"found": [found, *search.found[1:]]})}
    )
    assert rates.lines(other, MODEL)[0].limited_by == said


def test_the_effort_stands_against_that_of_a_grid(report: Report) -> None:
    search = search_of(report)
    assert rates.effort(report).endswith("(15.6 % of it).")
    assert f"took {rates.duration(search.seconds)}" in rates.effort(report)
    interrupted = report.model_copy(update={"search": search.model_copy(update={"complete": False})})
    assert "interrupted" in rates.effort(interrupted)


@pytest.mark.parametrize(
    ("seconds", "said"), [(41.6, "42 s"), (59.7, "1 min 0 s"), (365, "6 min 5 s"), (7800, "2 h 10 min")]
)
def test_a_length_of_time_is_read_at_a_glance(seconds: float, said: str) -> None:
    assert rates.duration(seconds) == said


def test_the_page_of_a_search_has_its_section_and_that_of_another_run_has_none(page: str) -> None:
    assert "Highest rates" in section(page, "search") and 'href="#search"' in page
    other = render_html(samples.report())
    assert 'id="search"' not in other and "#search" not in other


def test_every_step_of_the_search_is_a_marker_with_its_reason_and_a_row(report: Report) -> None:
    (chart,) = Charts(report, MODEL).search()
    found = search_of(report).found[0]
    path, bar = drawn(chart)[:2]
    assert path["x"] == [probe.rate for probe in found.probes]
    assert path["marker"]["symbol"] == ["circle", "circle", "x", "diamond-open", "x", "circle", "circle", "star"]
    assert all(probe.reason in text for probe, text in zip(found.probes, path["hovertext"], strict=True))
    assert bar["x"] == [found.value, found.high]
    assert len(chart.rows) == sum(len(f.probes) for f in search_of(report).found if f.variant.startswith(MODEL))


def test_the_steps_of_a_variant_go_down_within_its_own_band(report: Report) -> None:
    (chart,) = Charts(report, MODEL).search()
    for place, path in enumerate(drawn(chart)[::2]):
        assert path["y"] == sorted(path["y"])
        assert all(place - 0.5 < y < place + 0.5 for y in path["y"])


def test_a_rate_that_was_asked_again_is_one_step_of_which_the_last_answer_counts(report: Report) -> None:
    search = search_of(report)
    first, *rest = search.found
    spoiled = first.probes[0].model_copy(update={"outcome": "unclear", "reason": "sends were late"})
    asked_again = first.model_copy(update={"probes": [spoiled, *first.probes]})
    again = report.model_copy(update={"search": search.model_copy(update={"found": [asked_again, *rest]})})
    (chart,) = Charts(again, MODEL).search()
    path = drawn(chart)[0]
    assert len(path["x"]) == len(first.probes) and path["marker"]["symbol"][0] == "circle"
    assert "asked 2 times" in path["hovertext"][0]
    assert [row[4] for row in chart.rows[:2]] == ["unclear", "kept"]


def test_a_confirmation_that_was_not_kept_is_no_star(report: Report) -> None:
    first = report.variants[0]
    none = MaxRate(value=None, low=None, high=report.variants[0].slo.max_rps.high, limited_by="server")
    failed = first.model_copy(update={"slo": first.slo.model_copy(update={"max_rps": none})})
    (chart,) = Charts(report.model_copy(update={"variants": [failed]}), MODEL).search()
    (path,) = drawn(chart)
    assert "star" not in path["marker"]["symbol"]


def test_without_a_search_there_is_no_chart_of_one() -> None:
    assert Charts(samples.report(), MODEL).search() == []


def test_probes_make_the_curve_of_the_open_loop_and_are_offered_nowhere(report: Report) -> None:
    charts = Charts(report, MODEL)
    for chart in (charts.attribution(), charts.course()):
        assert [name for name in names(chart) if "probe" in name] == []
        assert not [row for row in chart.rows if "probe" in str(row[1])]
    thin = [trace for trace in drawn(charts.tradeoff()) if trace["line"]["width"] == 1]
    told = [probe for probe in search_of(report).found[0].probes if probe.purpose == "probe"]
    assert len(thin) == 4 and thin[0]["x"] == sorted(probe.rate * 0.998 for probe in told if probe.outcome != "unclear")


def test_confirmations_at_rates_of_their_own_are_chosen_under_one_name(report: Report) -> None:
    chart = Charts(report, MODEL).attribution()
    assert names(chart)[0] == "confirmation"
    assert len(drawn(chart, "confirmation")[0]["x"]) == 4


def test_a_search_that_was_interrupted_among_its_probes_shows_them_and_nothing_else(report: Report) -> None:
    variants = [v.model_copy(update={"stages": v.stages[1:4], "complete": False}) for v in report.variants]
    found = Charts(report.model_copy(update={"variants": variants}), MODEL).all()
    assert [chart.title for chart in found] == [
        "How the highest rate was found",
        "Latency against throughput",
    ]


def test_steps_that_only_steered_are_one_short_list_in_the_validity(page: str) -> None:
    assert section(page, "validity").count("8 steps of the search") == 10
    assert section(page, "validity").count("<h4>confirm-") == 10


def test_the_whole_run_gives_every_stage_its_place_and_its_mark() -> None:
    figure = Charts(samples.report(), MODEL).course().panels[0].figures["the whole run"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["closed-1", "closed-4", "closed-16", "open-200"]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [3, 6, 9]
    for trace in figure["data"]:
        assert trace["x"] == sorted(trace["x"]) and trace["y"].count(None) == 4
        assert len(trace["x"]) == len(trace["text"]) == len(trace["marker"]["symbol"])


@pytest.mark.parametrize(
    ("objective", "percentile"),
    [
        ({}, "p99"),
        ({"p99_ms": 50, "p999_ms": 80}, "p99"),
        ({"p95_ms": 20}, "p95"),
        ({"p50_ms": 5, "p999_ms": 80}, "p999"),
    ],
)
def test_the_curves_show_the_percentile_that_is_promised(objective: dict[str, float], percentile: str) -> None:
    assert judged_percentile(objective) == percentile


def test_each_promised_percentile_has_its_bar_on_the_tail() -> None:
    promised = {"rate": 200.0, "p95_ms": 20.0, "p999_ms": 80.0, "error_rate": 0.001}
    charts = Charts(samples.report(objectives={MODEL: promised}), MODEL)
    *_, marks = drawn(charts.tail())
    assert marks["y"] == [20.0, 80.0]
    assert marks["hovertext"] == ["SLO: p95 ≤ 20 ms", "SLO: p99.9 ≤ 80 ms"]
    layout = charts.tradeoff().panels[0].figures[""]["layout"]
    assert layout["annotations"][0]["text"] == "— SLO: p99.9 ≤ 80 ms at 200 req/s"


@pytest.mark.parametrize(
    ("plan", "first", "measuring"),
    [
        ("", "make export serve loadtest", "python -m loadtest"),
        ("map", "make export serve loadtest PLAN=map", "python -m loadtest --plan map"),
        ("configure", "make export serve", "python -m tune configure sentiment_torch sentiment_keras"),
    ],
)
def test_the_commands_are_those_of_the_plan_that_was_run(plan: str, first: str, measuring: str) -> None:
    found = samples.report().model_copy(update={"load_plan": plan})
    assert reproduce.road(found)[0][0] == first
    assert measuring in {step.command for step in reproduce.steps(found)}


def test_what_a_climb_confirmed_is_measured_by_climbing_again(report: Report) -> None:
    climbed = report.model_copy(update={"load_plan": "configure"})
    assert report.search is not None
    assert "python -m tune search" not in {step.command for step in reproduce.steps(climbed)}


def test_each_number_has_its_command_and_each_command_its_section(report: Report, page: str) -> None:
    commands = {step.command for step in reproduce.steps(report)}
    assert "python -m tune search" in commands and f"python -m report results/{report.id}" in commands
    assert "python -m loadtest" in {step.command for step in reproduce.steps(samples.report())}
    assert "python -m loadtest --plan map" in {step.command for step in reproduce.steps(map_report())}
    for found in (report, map_report()):
        anchors = {step.anchor for step in reproduce.steps(found)}
        assert anchors <= set(re.findall(r'id="([\w-]+)"', render_html(found)))
    for variant in report.variants:
        assert f"python -m tune search --variant {variant.id}" in page
