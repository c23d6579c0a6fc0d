"""The objectives of one variant: judged on valid open-loop stages and on nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from contract.search import Limit
from contract.slo import Slo
from contract.verdict import Percentile, StageResult
from report.judging.objectives import judge, judge_found
from tests.builders import found, probe
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
    assert found.reasons == [
        "not judged: no open-loop stage with a steady rate, Poisson arrivals and requests whose answers are known "
        "was finished"
    ]


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


@pytest.mark.parametrize(
    ("kept", "missed", "passed"),
    [
        ([200], [], True),
        ([400], [], True),
        ([100, 200], [300], True),
        ([10], [], None),
        ([10], [300], None),
        ([], [300], None),
        ([10], [200], False),
        ([], [100], False),
        ([200], [100], False),
        ([200 - 3e-14], [], True),
        ([], [200 + 3e-14], False),
        ([200], [200], False),
    ],
)
def test_what_is_kept_below_the_promised_rate_is_no_proof_and_what_is_missed_there_is_one(
    kept: list[float], missed: list[float], passed: bool | None
) -> None:
    stages = [*(opened(rate=rate) for rate in kept), *(opened(90.0, 95.0, rate=rate) for rate in missed)]
    assert judge(stages, SLO).passed is passed


def test_a_run_without_the_promised_rate_says_what_to_plan_and_what_became_of_it() -> None:
    found = judge([opened(rate=10), invalid_stage("open-200", 5.0)], SLO, ["constant-200: its arrivals are constant"])
    assert found.passed is None
    assert found.max_rps.value == 10
    assert found.reasons[-1] == (
        "not judged at the promised rate: it is 200 requests/s, judged was 10 requests/s; "
        "sends on time: 61 ms late; constant-200: its arrivals are constant; plan a stage with rate = 200"
    )


def test_a_stage_that_is_unlike_what_was_promised_is_named_with_the_difference() -> None:
    found = judge([opened(judged=False)], SLO, ["constant-200: its arrivals are constant"])
    assert (found.passed, found.reasons) == (None, ["not judged: constant-200: its arrivals are constant"])


def test_without_a_rate_that_keeps_them_there_is_only_a_bound_from_above() -> None:
    found = judge([opened(90.0, 95.0, rate=200)], SLO)
    assert found.passed is False
    assert (found.max_rps.value, found.max_rps.low, found.max_rps.high) == (None, None, 200)


def test_there_is_no_cost_without_a_price_and_it_says_so() -> None:
    found = judge([opened()], SLO)
    assert found.cost_per_million is None
    assert "no price table" in found.cost_reason


def confirmation(p99: float = 20.0, upper: float | None = 22.0, rate: float = 400.0, **changes: Any) -> StageResult:
    return opened(p99, upper, rate=rate, purpose="confirm", **changes)


def test_a_confirmed_rate_above_the_promised_one_keeps_the_objectives() -> None:
    result = judge_found(found(value=400.0), confirmation(), SLO)
    assert result.passed is True
    rate = result.max_rps
    assert (rate.value, rate.low, rate.high, rate.limited_by) == (400.0, 400.0, 416.0, "server")
    assert result.reasons[0] == (
        "p99 is 20.00 ms, at most 22.00 ms at 99 % confidence; objective 50 ms at 400 requests/s: kept"
    )
    assert result.reasons[-1] == (
        "400 requests/s were confirmed, the server was the limit; objective 200 requests/s: kept"
    )


@pytest.mark.parametrize(
    ("level", "said"),
    [(0.99, "99 % confidence"), (0.97, "97 % confidence"), (None, "nothing may be claimed, it is as measured")],
)
def test_a_confirmed_rate_says_how_sure_it_is_with_all_tries_counted(level: float | None, said: str) -> None:
    result = judge_found(found(value=400.0), confirmation(), SLO, level)
    assert result.reasons[-2] == (
        f"of up to 3 confirmations the first that is kept counts; for all of them together {said}"
    )


@pytest.mark.parametrize(
    ("limited_by", "passed"),
    [("server", False), ("answers", False), ("load generator", None), ("range", None), ("", None)],
)
def test_a_confirmed_rate_below_the_promised_one_misses_only_where_the_server_was_the_limit(
    limited_by: Limit, passed: bool | None
) -> None:
    result = judge_found(found(value=150.0, limited_by=limited_by, high=None), confirmation(rate=150.0), SLO)
    assert result.passed is passed
    assert result.max_rps.value == 150.0
    assert result.reasons[-1].endswith(f"objective 200 requests/s: {'missed' if passed is False else 'not judged'}")


@pytest.mark.parametrize(("high", "passed"), [(199.0, False), (200.0, False), (201.0, None), (None, None)])
def test_without_a_confirmation_a_miss_at_the_promised_rate_is_a_miss_and_anything_else_is_not_judged(
    high: float | None, passed: bool | None
) -> None:
    steps = [probe(0, 12.5, "missed")]
    result = judge_found(found(value=None, high=high, limited_by="range", probes=steps), None, SLO)
    assert result.passed is passed
    assert (result.max_rps.value, result.max_rps.high) == (None, high)
    assert "the last rate that was tried, 12.5 requests/s, was missed: 2.3 % above 50 ms, 1 % allowed" in result.reasons


@pytest.mark.parametrize(("rate", "passed"), [(400.0, None), (200.0, False)])
def test_a_confirmation_whose_records_do_not_carry_the_claim_confirms_nothing(rate: float, passed: bool | None) -> None:
    result = judge_found(found(value=rate), confirmation(49.0, 50.1, rate), SLO)
    assert result.passed is passed
    assert (result.max_rps.value, result.max_rps.high) == (None, rate)
    assert "at most 50.10 ms at 99 % confidence" in result.reasons[0]
    assert result.reasons[0].endswith("missed")


def test_a_confirmation_with_too_many_failures_confirms_nothing() -> None:
    assert judge_found(found(), confirmation(errors={"timeout": 11}), SLO).max_rps.value is None


def test_an_invalid_confirmation_confirms_nothing_and_says_why() -> None:
    spoiled = invalid_stage("open-400", 5.0).model_copy(update={"purpose": "confirm"})
    result = judge_found(found(), spoiled, SLO)
    assert (result.passed, result.max_rps.value) == (None, None)
    assert result.reasons[0] == (
        "not judged: the confirmation at 400 requests/s is not valid: sends on time: 61 ms late"
    )


def test_a_probe_never_carries_the_claim() -> None:
    probed = opened(rate=400.0, purpose="probe", judged=False)
    assert judge_found(found(), probed, SLO).max_rps.value is None


def test_what_was_not_sought_is_not_judged() -> None:
    result = judge_found(None, None, SLO)
    assert (result.passed, result.reasons) == (None, ["not judged: its highest rate was not sought"])
    assert judge_found(found(value=None, high=None, limited_by=""), None, SLO).reasons[0] == "no rate was tried"


def test_every_percentile_that_is_promised_is_judged_on_the_confirmation() -> None:
    both = Slo(rate=200, p95_ms=1, p99_ms=50)
    result = judge_found(found(), confirmation(), both)
    assert result.max_rps.value is None
    assert [reason.split(" is ")[0] for reason in result.reasons[:2]] == ["p95", "p99"]
