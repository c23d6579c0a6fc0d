"""What is recommended is told of one rate: its latency, queue and cores are of the stage that showed it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.recommendation import Recommended
from contract.verdict import Attribution, MaxRate, SloResult, StageResult
from report.beside.caveats import ELSEWHERE
from report.recommending import recommend
from tests.deployments import recommended
from tests.report_samples import report, stage, variant


def at(rate: float, queue_ms: float, **changes: Any) -> StageResult:
    attributed = Attribution(client=0.0, wire=0.1, queue=queue_ms, compute=1.0)
    return stage(f"open-{rate:g}", 3.0, attribution_ms=attributed, **changes)


def found(*stages: StageResult, **rate: Any) -> Recommended:
    """What is recommended of a variant that kept its objectives."""
    kept = MaxRate(**({"low": 200.0, "high": None} | rate))
    slo = SloResult(passed=True, max_rps=kept, cost_per_million=None, cost_reason="", reasons=[])
    item = variant("sentiment_torch", "onnx", "triton", "grpc", stages=list(stages), slo=slo)
    return recommend(report(variants=[item])).models["sentiment_torch"]


def test_figures_are_of_the_highest_rate_that_was_kept_and_not_of_the_first() -> None:
    told = found(at(200, 0.5), at(400, 3.0), at(800, 90.0), value=400.0)
    assert (told.max_rps, told.queue_us, told.limited_by) == (400.0, 3000.0, "")


def test_of_several_stages_at_that_rate_the_last_confirmation_tells() -> None:
    stages = [at(400, 1.0, purpose="confirm"), at(400, 2.0, purpose="confirm"), at(400, 9.0)]
    assert found(*stages, value=400.0, limited_by="server").queue_us == 2000.0


def test_a_stage_that_is_not_valid_tells_nothing_of_a_rate() -> None:
    told = found(at(200, 0.5), at(400, 3.0, valid=False), value=400.0)
    assert (told.queue_us, told.p99_ms) == (None, None)


@pytest.mark.parametrize("limit", ["server", "load generator", "answers", "range", ""])
def test_what_ended_the_search_is_told(limit: str) -> None:
    assert found(at(400, 1.0), value=400.0, limited_by=limit).limited_by == limit


def test_an_older_recommendation_was_not_told_what_ended_its_search() -> None:
    older = {key: value for key, value in recommended().model_dump().items() if key != "limited_by"}
    assert Recommended(**older).limited_by == ""


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_of_nothing_is_no_rate(rate: float) -> None:
    with pytest.raises(ValidationError, match="max_rps"):
        recommended(max_rps=rate)


@pytest.mark.parametrize(("warning", "known"), [(f"{ELSEWHERE}: …", False), ("Everything ran on a CPU.", True)])
def test_the_machine_of_the_load_is_not_recommended_as_that_of_servers_elsewhere(warning: str, known: bool) -> None:
    made = report(warnings=[warning])
    assert recommend(made).machine == (made.machine if known else None)
