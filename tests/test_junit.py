"""junit.xml: a case per objective and variant, failed, skipped or passed as the report's verdict has it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from contract.search import Search
from contract.slo import Slo
from contract.verdict import MaxRate, Report
from report.forms.junit import render_junit
from report.forms.outcomes import outcomes
from report.objectives import judge
from tests import report_samples as samples


def cases(report: Report) -> list[ElementTree.Element]:
    """The cases of the objectives; the first suite is the verdict's."""
    root = ElementTree.fromstring(render_junit(report))  # noqa: S314 - ours
    return [case for suite in list(root)[1:] for case in suite.iter("testcase")]


def verdict(report: Report) -> ElementTree.Element:
    return next(ElementTree.fromstring(render_junit(report)).iter("testcase"))  # noqa: S314 - ours


def with_slo(report: Report, **objectives: float) -> Report:
    return report.model_copy(update={"objectives": dict.fromkeys(report.objectives, objectives)})


def test_there_is_one_case_per_objective_and_variant() -> None:
    report = with_slo(samples.report(), rate=200, p50_ms=20, p99_ms=50, p999_ms=90, error_rate=0.001)
    names = ["p50 ≤ 20 ms", "p99 ≤ 50 ms", "p99.9 ≤ 90 ms", "errors ≤ 0.1 %"]
    assert [case.get("name") for case in cases(report)] == names * len(report.variants)
    assert {case.get("classname") for case in cases(report)} >= {"sentiment_torch.onnx on Triton, gRPC"}
    assert {case.get("time") for case in cases(report)} == {"8.000"}


def test_what_is_not_ranked_is_skipped_with_the_reason() -> None:
    report = samples.awkward()
    for case in cases(report):
        skipped = case.find("skipped")
        label = str(case.get("classname"))
        if "embedded" in label:
            assert skipped is not None and skipped.get("message") == "the engine is embedded"
    messages = [skipped.get("message") for case in cases(report) if (skipped := case.find("skipped")) is not None]
    assert "the run was interrupted" in messages and samples.INJECTION in messages


def test_a_missed_objective_fails_its_case_alone() -> None:
    report = samples.awkward()
    failed = [case for case in cases(report) if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [
        ("sentiment_torch.onnx on Triton, HTTP", "p99 ≤ 50 ms")
    ]


@pytest.mark.parametrize(("word", "element"), [("PASS", None), ("FAIL", "failure"), ("INVALID", "error")])
def test_the_verdict_is_a_case_so_that_a_run_of_skipped_ones_is_no_success(word: Any, element: str | None) -> None:
    case = verdict(samples.report(verdict=word, sentence="in words"))
    assert [child.tag for child in case] == ([element] if element else [])


def test_the_numbers_of_the_suites_are_those_of_their_cases() -> None:
    root = ElementTree.fromstring(render_junit(samples.awkward()))  # noqa: S314 - ours
    for element in (root, *root):
        found = list(element.iter("testcase"))
        assert int(element.get("tests", -1)) == len(found)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.get(attribute, -1)) == sum(case.find(tag) is not None for case in found)


def test_characters_that_xml_cannot_hold_do_not_break_the_file() -> None:
    report = samples.report(verdict="FAIL", sentence="a\x00b\x1b[31m\ufffe")
    message = verdict(report).find("failure")
    assert message is not None and message.get("message") == "a\ufffdb\ufffd[31m\ufffd"


@pytest.mark.parametrize("limit", [10.0, 13.0, 50.0])
@pytest.mark.parametrize("failed", [0, 1, 50])
def test_the_cases_agree_with_the_judge_of_the_report(limit: float, failed: int) -> None:
    """The same stage, judged here by parts and there as a whole."""
    report = with_slo(samples.report(), rate=200, p95_ms=9.0, p99_ms=limit, error_rate=0.001)
    for variant in (item for item in report.variants if item.rankable):
        stages = [stage.model_copy(update={"errors": {"timeout": failed}}) for stage in variant.stages]
        changed = variant.model_copy(update={"stages": stages})
        found = outcomes(report, changed)
        slo = Slo(rate=200, p95_ms=9.0, p99_ms=limit, error_rate=0.001)
        assert all(item.kept for item in found) is judge(stages, slo).passed


def test_a_search_adds_the_rate_itself() -> None:
    search = Search(
        schema_version=1, resolution=0.1, probe_s=3, confirm_s=10, complete=True, found=[], seconds=60, grid_seconds=300
    )
    first = samples.report().variants[0]
    slo = first.slo.model_copy(
        update={"passed": False, "max_rps": MaxRate(value=150, low=150, high=180), "reasons": ["150 were confirmed"]}
    )
    report = samples.report(search=search, variants=[first.model_copy(update={"slo": slo})])
    last = outcomes(report, report.variants[0])[-1]
    assert (last.objective, last.kept, last.reason) == ("200 req/s under the SLO", False, "150 were confirmed")
