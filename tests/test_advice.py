"""Per model what to serve and why not the others, in sentences that are known beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from contract.endpoints import Configuration
from contract.prices import Price
from contract.search import Limit
from contract.verdict import MaxRate, Percentile, Report, SloResult, StageResult, Variant
from report.judging.advice import advise
from report.judging.cost import Basis, priced
from report.judging.noise import no_noise
from tests import report_samples as samples
from tests.builders import endpoint, search

CONFIGURATION = Configuration(max_batch_size=32, max_queue_delay_us=500, instances=1, threads=1)
DEPLOYED = "over http with batch ≤ 32, queue delay ≤ 500 µs, 1 instance, 1 thread"


def stage(name: str, p99: float, upper: float | None, missing: int = 0, **changes: Any) -> StageResult:
    made = samples.stage(name, 5.0, **changes)
    found = Percentile(value=p99, upper=upper, missing=missing)
    return made.model_copy(update={"latency_ms": made.latency_ms.model_copy(update={"p99": found})})


def variant(format: str, stages: list[StageResult], rate: float | None, **changes: Any) -> Variant:
    passed = rate is not None and rate >= 200
    limited_by: Limit = changes.pop("limited_by", "")
    answer = MaxRate(value=rate, low=rate, high=None, limited_by=limited_by)
    slo = SloResult(passed=passed, max_rps=answer, cost_per_million=None, cost_reason="none", reasons=[])
    fields: dict[str, Any] = {"stand_in_for": None, "rank_class": "cpu, real", "slo": slo, "stages": stages}
    return samples.variant("words", format, "triton", "http", **(fields | {"configuration": CONFIGURATION} | changes))


def sought(format: str, rate: float | None, upper: float | None = 41.0, missing: int = 0, **changes: Any) -> Variant:
    """A variant whose highest rate was confirmed in 20 s."""
    confirmed = stage(
        f"open-{rate or 200:g}", 38.0, upper, missing, purpose="confirm", duration_s=20.0, requests=68_000
    )
    limited_by = changes.pop("limited_by", "server")
    return variant(format, [confirmed] if rate else [], rate, limited_by=limited_by, **changes)


def report(*variants: Variant, noise: float = 0.02, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "variants": list(variants),
        "objectives": {"words": {"rate": 200.0, "p99_ms": 50.0, "error_rate": 0.001}},
        "noise": no_noise("once").model_copy(
            update={"p99_relative": noise, "max_rps_relative": noise, "variant": "words__onnx__triton__http"}
        ),
        "search": search(),
    }
    return samples.report(**(fields | changes))


def advice(*variants: Variant, **changes: Any) -> str:
    (text,) = advise(report(*variants, **changes)).values()
    return text


def test_it_says_what_to_serve_how_much_it_holds_and_how_sure_that_is() -> None:
    assert advice(sought("onnx", 3400.0)) == (
        f"words: serve it as onnx on triton (real, cpu) {DEPLOYED}: 3,400 requests/s at p99 <= 50 ms. "
        "Claimed at 99 % confidence from 68,000 requests in a confirmation of 20 s."
    )


def test_a_claim_is_made_at_the_confidence_that_holds_with_all_tries_counted() -> None:
    found = sought("onnx", 3400.0)
    (text,) = advise(report(found), {found.id: 0.97}).values()
    assert "Claimed at 97 % confidence from 68,000 requests in a confirmation of 20 s." in text


def test_a_claim_that_lacks_requests_says_how_many() -> None:
    text = advice(sought("onnx", 3400.0, None, 1234))
    assert (
        "As measured with 68,000 requests in a confirmation of 20 s; a claim at 99 % confidence needs about 1,234"
        in text
    )
    assert "Claimed" not in text


def test_every_percentile_that_is_promised_is_named_and_must_be_claimable() -> None:
    promised = {"words": {"rate": 200.0, "p99_ms": 50.0, "p9999_ms": 90.0, "error_rate": 0.001}}
    text = advice(sought("onnx", 3400.0), objectives=promised)
    assert "3,400 requests/s at p99 <= 50 ms and p99.99 <= 90 ms." in text
    assert "As measured" in text


def test_without_a_search_the_tested_rate_is_what_is_known() -> None:
    tested = variant("onnx", [stage("open-200", 20.0, 22.0, requests=1600, duration_s=8.0)], 200.0)
    assert advice(tested, search=None) == (
        f"words: serve it as onnx on triton (real, cpu) {DEPLOYED}: holds the tested 200 requests/s at p99 <= 50 ms; "
        "how much more it could do was not sought (make slo). "
        "Claimed at 99 % confidence from 1,600 requests in 8 s."
    )


def test_the_claim_is_that_of_the_rate_that_is_named_where_several_were_kept() -> None:
    stages = [
        stage("open-200", 20.0, 22.0, requests=1600, duration_s=8.0),
        stage("open-300", 30.0, None, 77, requests=450, duration_s=1.5),
    ]
    text = advice(variant("onnx", stages, 300.0), search=None)
    assert "holds the tested 300 requests/s" in text
    assert "As measured with 450 requests in 1.5 s; a claim at 99 % confidence needs about 77 more." in text


def test_a_variant_without_a_valid_stage_at_the_common_rate_is_not_compared_in_the_advice_either() -> None:
    best = variant("onnx", [stage("open-200", 20.0, 22.0), stage("open-300", 30.0, 32.0)], 300.0)
    higher = variant("torchscript", [stage("open-300", 10.0, 11.0)], 300.0)
    text = advice(best, higher, search=None)
    assert "torchscript on Triton, HTTP: no valid p99 at 200 requests/s, so it is not compared." in text


def test_without_a_search_the_others_are_compared_by_their_p99() -> None:
    fast = variant("onnx", [stage("open-200", 20.0, 22.0)], 200.0)
    slow = variant("torchscript", [stage("open-200", 30.0, 32.0)], 200.0)
    text = advice(fast, slow, search=None)
    assert "Not the others: torchscript on Triton, HTTP: p99 50 % higher (30.0 ms)." in text


@pytest.mark.parametrize(
    ("limited_by", "sentence"),
    [
        ("load generator", "The load generator was the limit, so it may do more."),
        ("range", "The search was not allowed to go higher, so it may do more."),
        ("", "The search was cut short before it met a limit, so it may do more."),
        ("answers", "Above that rate too many requests failed."),
    ],
)
def test_what_was_not_the_servers_own_limit_is_said(limited_by: Limit, sentence: str) -> None:
    assert sentence in advice(sought("onnx", 3400.0, limited_by=limited_by))
    assert sentence not in advice(sought("onnx", 3400.0))


REASONS: list[tuple[str, dict[str, Any], str]] = [
    ("slower", {"rate": 2800.0}, "slower by 18 % (2,800 requests/s)"),
    ("a tie", {"rate": 3300.0}, "3,300 requests/s, a tie within the resolution of the search (5 %)"),
    ("misses", {"rate": 150.0}, "misses an objective (150 requests/s)"),
    ("nothing confirmed", {"rate": None}, "misses an objective (no rate was confirmed)"),
    (
        "stand-in",
        {"rate": 9000.0, "stand_in_for": "a native backend", "rank_class": "cpu, stand-ins"},
        "a stand-in, ranked apart (9,000 requests/s)",
    ),
    ("device", {"rate": 9000.0, "device": "gpu:L4", "rank_class": "gpu:L4, real"}, "on another device, gpu:L4"),
    ("embedded", {"rate": 9000.0, "rankable": False, "engine_kind": "embedded"}, "embedded"),
    ("interrupted", {"rate": 9000.0, "rankable": False, "complete": False}, "interrupted"),
    (
        "anything else",
        {"rate": 9000.0, "rankable": False, "not_ranked_because": ["1 answer was wrong"]},
        "1 answer was",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), [row[1:] for row in REASONS], ids=[row[0] for row in REASONS])
def test_each_other_variant_has_one_short_reason(changes: dict[str, Any], reason: str) -> None:
    # What is advised is the fastest on any device, so that the one on a GPU has to be the slower one here.
    best = sought("onnx", 9500.0 if "device" in changes else 3400.0)
    other = sought("torchscript", **changes)
    named = f"torchscript on Triton{' (embedded)' if 'engine_kind' in changes else ''}, HTTP"
    assert f"Not the others: {named}: {reason}" in advice(best, other)


def test_what_differs_from_the_trained_model_is_never_advised() -> None:
    wrong = samples.parity(0.4, passed=False)
    other = sought("torchscript", 9000.0, rankable=False)
    differs = other.parity.model_copy(update={"endpoint": wrong})
    text = advice(sought("onnx", 3400.0), other.model_copy(update={"parity": differs}))
    assert text.startswith("words: serve it as onnx")
    assert "torchscript on Triton, HTTP: failed parity." in text


def test_a_stand_in_says_what_the_deployment_would_run() -> None:
    text = advice(sought("onnx", 3400.0, stand_in_for="the native backend", rank_class="cpu, stand-ins"))
    assert "Measured on a stand-in: the deployment would run the native backend." in text


def test_where_no_variant_keeps_the_objectives_the_nearest_is_named() -> None:
    assert advice(sought("onnx", 150.0)) == (
        "words: no variant keeps its objectives, 200 requests/s at p99 <= 50 ms; "
        f"the nearest is onnx on triton (real, cpu) {DEPLOYED} with 150 requests/s."
    )


def test_where_nothing_can_be_ranked_nothing_is_advised() -> None:
    text = advice(sought("onnx", 3400.0, rankable=False, complete=False))
    assert text == "words: nothing can be advised: onnx on Triton, HTTP: interrupted."
    assert advice() == "words: nothing can be advised: nothing was measured."


def test_a_cost_comes_with_the_demand_from_which_it_matters() -> None:
    basis = Basis(price=Price(instance="c6i.large", per_hour=0.085), sought=True, rows=1.0, shared=False)

    def with_cost(item: Variant) -> Variant:
        return item.model_copy(update={"slo": priced(item.slo, endpoint(), basis)})

    text = advice(with_cost(sought("onnx", 3400.0)), with_cost(sought("torchscript", 2800.0)))
    assert "A million inferences cost 0.00694 USD (0.085 USD per hour of c6i.large at 3,400 requests/s)." in text
    assert text.endswith(
        "Up to 2,800 requests/s one machine is enough of either; above it onnx on Triton, HTTP needs fewer machines "
        "than torchscript on Triton, HTTP for some demands, above 14,000 requests/s for all."
    )
    assert "machines" not in advice(with_cost(sought("onnx", 3400.0)), with_cost(sought("torchscript", 3390.0)))


def test_every_model_has_its_advice_in_the_order_of_the_report() -> None:
    base = samples.report()
    assert list(advise(base)) == ["sentiment_torch", "sentiment_keras"]
