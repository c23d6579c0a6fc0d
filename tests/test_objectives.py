"""The objectives of one variant: judged on valid open-loop stages and on nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from contract.slo import Slo
from contract.verdict import Percentile, StageResult
from report.objectives import judge
from tests.report_samples import invalid_stage, stage

SLO = Slo(rate=200, p99_ms=50, error_rate=0.01)


def opened(
    p99: float | None = 20.0, upper: float | None = 22.0, missing: int = 0, rate: float = 200.0, **changes: Any
) -> StageResult:
    """A valid open-loop stage with a given p99."""
    base = stage(f"open-{rate:g}", 5.0, requests=1000, **changes)
    figures = base.latency_ms.model_copy(update={"p99": Percentile(value=p99, upper=upper, missing=missing)})
    return base.model_copy(update={"latency_ms": figures})


@pytest.mark.parametrize(
    ("p99", "upper", "passed"),
    [(20.0, 22.0, True), (50.0, 50.0, True), (49.0, 50.1, False), (60.0, 70.0, False)],
)
def test_the_claim_is_judged_and_not_the_mere_value(p99: float, upper: float, passed: bool) -> None:
    found = judge([opened(p99, upper)], SLO)
    assert found.passed is passed
    assert ("kept" if passed else "missed") in found.reasons[0]
    assert f"at most {upper:.2f} ms at 99 % confidence" in found.reasons[0]


def test_a_p99_that_cannot_be_claimed_yet_says_how_many_requests_are_missing() -> None:
    found = judge([opened(20.0, None, 1234)], SLO)
    assert "about 1,234 more requests needed to claim it" in found.reasons[0]


def test_a_p99_over_the_objective_is_missed_even_where_it_cannot_be_claimed() -> None:
    assert judge([opened(51.0, None, 10)], SLO).passed is False


@pytest.mark.parametrize(("failures", "passed"), [(0, True), (10, True), (11, False)])
def test_too_many_failures_miss_the_objective(failures: int, passed: bool) -> None:
    errors = {"timeout": failures} if failures else {}
    found = judge([opened(errors=errors)], SLO)
    assert found.passed is passed
    assert f"error rate is {failures / 1000:.3%}; objective 1.000%: {'kept' if passed else 'missed'}" in found.reasons


def test_errors_of_all_classes_are_added() -> None:
    assert judge([opened(errors={"timeout": 6, "http 503": 6})], SLO).passed is False


def test_a_closed_loop_is_never_judged() -> None:
    found = judge([stage("closed-1", 5.0), stage("closed-16", 5.0)], SLO)
    assert found.passed is None
    assert found.max_rps.value is None
    assert found.reasons == ["not judged: no open-loop stage with a steady rate was finished"]


def test_an_invalid_stage_is_never_judged_and_says_why() -> None:
    found = judge([stage("closed-1", 5.0), invalid_stage("open-200", 5.0)], SLO)
    assert found.passed is None
    assert found.reasons == ["not judged: sends on time: 61 ms late"]


def test_nothing_measured_is_not_judged() -> None:
    assert judge([], SLO).passed is None


def test_the_highest_rate_is_the_highest_that_was_seen_to_keep_the_objectives() -> None:
    found = judge([opened(rate=100), opened(rate=200), opened(90.0, 95.0, rate=300)], SLO)
    assert found.passed is True
    assert (found.max_rps.value, found.max_rps.low, found.max_rps.high) == (200, 200, 300)


def test_without_a_rate_that_keeps_them_there_is_only_a_bound_from_above() -> None:
    found = judge([opened(90.0, 95.0, rate=200)], SLO)
    assert found.passed is False
    assert (found.max_rps.value, found.max_rps.low, found.max_rps.high) == (None, None, 200)


def test_there_is_no_cost_without_a_price_and_it_says_so() -> None:
    found = judge([opened()], SLO)
    assert found.cost_per_million is None
    assert "no price table" in found.cost_reason
