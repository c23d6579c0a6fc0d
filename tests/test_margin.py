"""The noise stands in one line where variants are compared, in every form that a person reads."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import pytest

from contract.verdict import Report
from report.forms.markdown import render_markdown
from report.forms.terminal import render_summary
from report.margin import sentence
from report.noise import no_noise
from report.page.html import render_html
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
        "interval of its own, so the margin is at least 3 times p50's."
    )


def test_where_nothing_is_ranked_there_is_nothing_to_say() -> None:
    assert sentence(unmeasured(winners=[])) == ""


@pytest.mark.parametrize(("report", "badge"), [(samples.report(), "tied"), (unmeasured(), "undecided")])
def test_what_shares_the_lead_is_tied_only_where_the_noise_is_known(report: Report, badge: str) -> None:
    first, second = (variant.id for variant in report.variants[:2])
    shared = report.winners[0].model_copy(update={"variant": None, "tied": [first, second]})
    page = render_html(report.model_copy(update={"winners": [shared]}))
    assert page.count(f'<span class="badge good">{badge}</span>') == 2
