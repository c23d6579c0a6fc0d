"""junit.xml: a case per objective and variant, failed, skipped or passed as the report's verdict has it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from contract.search import Search
from contract.slo import Slo
from contract.verdict import MaxRate, Percentile, Report, StageResult
from report.forms.junit import render_junit
from report.forms.outcomes import outcomes
from report.judging.objectives import judge
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
    report = report.model_copy(update={"unserved": {}})
    names = ["p50 ≤ 20 ms", "p99 ≤ 50 ms", "p99.9 ≤ 90 ms", "errors ≤ 0.1 %"]
    assert [case.get("name") for case in cases(report)] == names * len(report.variants)
    assert {case.get("classname") for case in cases(report)} >= {"sentiment_torch.onnx on Triton, gRPC"}
    assert {case.get("time") for case in cases(report)} == {"8.000"}


def test_what_is_not_ranked_is_skipped_with_the_reason() -> None:
    report = samples.awkward()
    embedded = [case.find("skipped") for case in cases(report) if "embedded" in str(case.get("classname"))]
    assert {None if each is None else each.get("message") for each in embedded} == {"the engine is embedded"}
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
    ranked = [item for item in report.variants if item.rankable]
    assert ranked
    for variant in ranked:
        stages = [stage.model_copy(update={"errors": {"timeout": failed}}) for stage in variant.stages]
        changed = variant.model_copy(update={"stages": stages})
        found = outcomes(report, changed)
        slo = Slo(rate=200, p95_ms=9.0, p99_ms=limit, error_rate=0.001)
        assert all(item.kept for item in found) is judge(stages, slo).passed


def opened(rate: float, p99: float, valid: bool = True, failed: int = 0) -> StageResult:
    """An open-loop stage: p99 in milliseconds, failed requests."""
    made = samples.stage(f"open-{rate:g}", 3.0) if valid else samples.invalid_stage(f"open-{rate:g}", 3.0)
    figures = made.latency_ms.model_copy(update={"p99": Percentile(value=p99, upper=p99, missing=0)})
    return made.model_copy(update={"latency_ms": figures, "errors": {"timeout": failed} if failed else {}})


def kept(*stages: StageResult) -> dict[str, tuple[bool | None, str]]:
    """What becomes of p99 <= 50 ms and of the errors at 200 requests/s after these stages, with its reason."""
    first = samples.report().variants[0].model_copy(update={"stages": list(stages)})
    return {item.objective: (item.kept, item.reason) for item in outcomes(samples.report(), first)}


P99, ERRORS = "p99 ≤ 50 ms", "errors ≤ 0.1 %"


def test_an_objective_that_is_missed_below_the_promised_rate_fails_though_it_was_kept_at_it() -> None:
    assert kept(opened(100, 60), opened(200, 40))[P99] == (False, "60.0 ms (≤ 60.0) at 100 req/s")


def test_an_objective_that_is_kept_above_an_invalid_stage_of_the_promised_rate_passes() -> None:
    assert kept(opened(200, 90, valid=False), opened(300, 40))[P99] == (True, "40.0 ms (≤ 40.0) at 300 req/s")


def test_an_objective_that_is_missed_above_the_promised_rate_only_is_not_judged_and_says_what_was_tried() -> None:
    found, reason = kept(opened(200, 90, valid=False), opened(300, 60))[P99]
    assert found is None
    assert (
        reason
        == "not judged at 200 req/s; missed with 60.0 ms (≤ 60.0) at 300 req/s; open-200: sends on time: 61 ms late"
    )


def test_each_objective_is_judged_for_itself() -> None:
    found = kept(opened(200, 40, failed=200), opened(300, 60))
    assert found[P99][0] is True and found[ERRORS][0] is False


def test_the_nearest_stage_is_the_one_that_is_quoted() -> None:
    assert kept(opened(200, 40), opened(300, 45), opened(400, 90))[P99] == (True, "40.0 ms (≤ 40.0) at 200 req/s")
    assert kept(opened(50, 60), opened(150, 70))[P99][1].endswith("at 150 req/s")


@pytest.mark.parametrize("low", [None, 40.0, 60.0, 0.0])
@pytest.mark.parametrize("promised", [None, 40.0, 60.0, 0.0])
@pytest.mark.parametrize("high", [None, 40.0, 60.0, 0.0])
def test_some_case_fails_exactly_where_the_variant_misses_whatever_the_rates(
    low: float | None, promised: float | None, high: float | None
) -> None:
    """None: not planned; 0: not valid; else the p99 at 100, 200 and 300 requests/s."""
    planned = [(rate, p99) for rate, p99 in ((100, low), (200, promised), (300, high)) if p99 is not None]
    stages = [opened(rate, p99 or 30.0, valid=bool(p99)) for rate, p99 in planned]
    passed = judge(stages, Slo(rate=200, p99_ms=50, error_rate=0.001)).passed
    found = [item for item, _ in kept(*stages).values()]
    assert (False in found) is (passed is False)
    assert all(found) is (passed is True)


def test_the_objectives_of_an_export_that_is_not_served_are_skipped_with_the_reason() -> None:
    report = samples.report()
    report = report.model_copy(update={"unserved": report.unserved | {"other onnx": "failed: parity"}})
    found = {
        (case.get("classname"), case.get("name"), skipped.get("message"))
        for case in cases(report)
        if (skipped := case.find("skipped")) is not None
    }
    torch = "not served: unsupported: PyTorch does not export to SavedModel"
    assert ("sentiment_torch.savedmodel", P99, torch) in found and (
        "sentiment_torch.savedmodel",
        ERRORS,
        torch,
    ) in found
    assert ("other.onnx", "served", "not served: failed: parity") in found


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
