"""The noise stands in one line where variants are compared, in every form that a person reads."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import pytest

from contract.verdict import Report
from report.forms.markdown import render_markdown
from report.forms.terminal import render_summary
from report.judging.margin import of_p50, of_p99, of_rate, sentence
from report.judging.noise import no_noise
from report.page.html import render_html
from report.runs.headline import HEADLINES
from tests import report_samples as samples
from tests.builders import search

MEASURED = (
    "Noise (A/A) 15.3 %: two p99 that lie closer are not told apart. What was measured twice differed by "
    "mean -2.1 % to +3.4 %, p50 -1.8 % to +4.1 %, p99 -11.2 % to +15.3 % (99 % intervals)."
)
UNKNOWN = "Noise: the noise of this machine was not measured, so no winner is named among several: it ran once."

# Two searches compare no latencies.
NO_LATENCIES = dict.fromkeys(
    ("p99_relative", "p50_relative", "low", "high", "p50_low", "p50_high", "p99_low", "p99_high")
)


def unmeasured(**changes: object) -> Report:
    return samples.report(noise=no_noise("it ran once"), **changes)


def test_runs_are_held_against_the_same_margin_as_the_variants_of_one() -> None:
    noise = samples.report().noise.model_copy(update={"max_rps_relative": 0.08})
    rules = {"p50": of_p50, "p99": of_p99, "max rate": of_rate}
    assert {name: HEADLINES[name].noise(noise) for name in rules} == {"p50": 0.041, "p99": 0.153, "max rate": 0.08}
    assert {name: rule(noise) for name, rule in rules.items()} == {"p50": 0.041, "p99": 0.153, "max rate": 0.08}


def test_a_p50_that_was_measured_once_has_no_margin_and_an_older_one_its_difference() -> None:
    older = samples.report().noise.model_copy(update={"p50_low": None, "p50_high": None})
    assert (of_p50(older), of_p50(no_noise("it ran once"))) == (0.012, None)


@pytest.mark.parametrize("render", [render_html, render_markdown, render_summary])
@pytest.mark.parametrize(("report", "said"), [(samples.report(), MEASURED), (unmeasured(), UNKNOWN)])
def test_every_comparison_says_below_it_what_means_nothing(
    render: Callable[[Report], str], report: Report, said: str
) -> None:
    shown = " ".join(unescape(render(report)).split())
    assert said in shown
    assert shown.index("onnx on Triton") < shown.index(said)


def test_a_search_names_its_resolution_beside_the_noise() -> None:
    noise = samples.report().noise.model_copy(update=NO_LATENCIES | {"max_rps_relative": 0.02})
    assert sentence(samples.report(noise=noise, search=search())) == (
        "Noise (A/A) 2 %, resolution 5 %: two highest rates that lie closer are not told apart."
    )
    assert sentence(unmeasured(search=search())) == UNKNOWN


def test_a_p99_without_an_interval_says_what_its_margin_is_then() -> None:
    few = samples.report().noise.model_copy(update={"p99_relative": 0.05, "p99_low": None, "p99_high": None})
    assert sentence(samples.report(noise=few)) == (
        "Noise (A/A) 12.3 %: two p99 that lie closer are not told apart. What was measured twice differed by "
        "mean -2.1 % to +3.4 %, p50 -1.8 % to +4.1 % (99 % intervals). Its p99 had too few independent requests for an "
        "interval of its own, so p50's stands in for it, 3 times as wide."
    )


TIED = [samples.winner("sentiment_torch", "cpu, stand-ins", "onnx").model_copy(update={"variant": None, "tied": ["a"]})]
FEW = samples.report().noise.model_copy(update={"p99_low": None, "p99_high": None})


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({}, "open_duration_s = 32 under [load] in models.toml; it was 8.00 s, "),
        ({"noise": FEW}, "open_duration_s = 32 under [load] in models.toml; it was 8.00 s, "),
        ({"load_plan": "mine"}, "duration_s = 32 for open-200 of the load plan 'mine' in models.toml; "),
    ],
)
def test_a_tie_says_how_long_a_stage_could_tell_it_apart(changes: dict[str, object], setting: str) -> None:
    said = sentence(samples.report(winners=TIED, **changes))
    assert f"To tell apart what ties, measure longer ({setting}" in said
    assert said.endswith("or compare the highest rates instead (make slo).")


def test_a_p99_without_an_interval_needs_three_thousand_requests() -> None:
    first, *others = samples.report().variants
    slow = [stage.model_copy(update={"target": 50.0}) for stage in first.stages if stage.mode == "open"]
    found = samples.report(
        winners=TIED,
        variants=[first.model_copy(update={"stages": slow}), *others],
        noise=FEW.model_copy(update={"variant": first.id}),
    )
    assert "open_duration_s = 60 " in sentence(found)


def test_nothing_is_to_be_told_apart_where_nothing_tied_or_rates_were_sought() -> None:
    rates = samples.report().noise.model_copy(update=NO_LATENCIES | {"max_rps_relative": 0.02})
    assert "To tell apart" not in sentence(samples.report())
    assert "To tell apart" not in sentence(samples.report(winners=TIED, noise=rates, search=search()))


def test_where_nothing_is_ranked_there_is_nothing_to_say() -> None:
    assert sentence(unmeasured(winners=[])) == ""


@pytest.mark.parametrize(("report", "badge"), [(samples.report(), "tied"), (unmeasured(), "undecided")])
def test_what_shares_the_lead_is_tied_only_where_the_noise_is_known(report: Report, badge: str) -> None:
    first, second = (variant.id for variant in report.variants[:2])
    shared = report.winners[0].model_copy(update={"variant": None, "tied": [first, second]})
    page = render_html(report.model_copy(update={"winners": [shared]}))
    assert page.count(f'<span class="badge good">{badge}</span>') == 2
