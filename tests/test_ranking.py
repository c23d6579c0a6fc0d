"""Winners among equals, with their reason, and the noise below which a difference means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.verdict import MaxRate, Noise, Percentile, SloResult, Variant
from report.ranking import no_noise, noise_between, rank_p99, winners
from report.words import label
from tests.report_samples import invalid_stage, stage, variant

NO_NOISE = no_noise("nothing was measured twice")


def noise(p99: float) -> Noise:
    return Noise(variant="x", p99_relative=p99, p50_relative=p99, low=-p99, high=p99, reason="measured twice")


def slo(passed: bool | None) -> SloResult:
    return SloResult(
        passed=passed,
        max_rps=MaxRate(value=None, low=None, high=None),
        cost_per_million=None,
        cost_reason="none",
        reasons=[],
    )


def ranked(format: str, p99: float, protocol: str = "http", passed: bool = True, **changes: Any) -> Variant:
    """A rankable variant with a given open-loop p99."""
    opened = stage("open-200", 5.0)
    figures = opened.latency_ms.model_copy(update={"p99": Percentile(value=p99, upper=p99, missing=0)})
    fields: dict[str, Any] = {
        "stages": [opened.model_copy(update={"latency_ms": figures})],
        "stand_in_for": None,
        "rank_class": "cpu, real",
        "slo": slo(passed),
    }
    return variant(changes.pop("model", "words"), format, "triton", protocol, **(fields | changes))


def test_the_lowest_p99_wins_with_its_figures_in_the_sentence() -> None:
    slow, fast = ranked("torchscript", 30.0), ranked("onnx", 20.0)
    (found,) = winners([slow, fast], NO_NOISE)
    assert found.variant == fast.id
    assert found.tied == []
    assert found.passed
    assert found.sentence == (
        f"words: {label(fast)} is best, p99 20.00 ms at 200 requests/s, "
        f"against 30.00 ms of {label(slow)}; it keeps the objectives."
    )


def test_keeping_the_objectives_comes_before_speed() -> None:
    (found,) = winners([ranked("torchscript", 10.0, passed=False), ranked("onnx", 20.0)], NO_NOISE)
    assert found.variant == "words__onnx__triton__http"


def test_the_best_of_those_that_miss_says_so() -> None:
    (found,) = winners([ranked("torchscript", 70.0, passed=False), ranked("onnx", 60.0, passed=False)], NO_NOISE)
    assert found.variant == "words__onnx__triton__http"
    assert not found.passed
    assert found.sentence.endswith("; it misses the objectives.")


def test_the_only_one_of_its_class_says_so() -> None:
    (found,) = winners([ranked("onnx", 20.0)], NO_NOISE)
    assert "the only one of its class" in found.sentence


@pytest.mark.parametrize(
    ("margin", "tied"), [(0.04, False), (0.05, True), (0.30, True)], ids=["outside", "on the edge", "inside"]
)
def test_a_difference_within_the_noise_is_a_tie(margin: float, tied: bool) -> None:
    first, second = ranked("onnx", 20.0), ranked("torchscript", 21.0)
    (found,) = winners([second, first], noise(margin))
    assert (found.variant is None) is tied
    if tied:
        assert found.tied == [first.id, second.id]
        assert f"A tie between {label(first)} and {label(second)}" in found.sentence
        assert f"less than the noise of this run ({margin:.0%})" in found.sentence
        assert "(20.00, 21.00 ms)" in found.sentence


def test_noise_never_ties_a_variant_that_keeps_with_one_that_misses() -> None:
    (found,) = winners([ranked("onnx", 49.0), ranked("torchscript", 51.0, passed=False)], noise(0.5))
    assert found.variant == "words__onnx__triton__http"


def test_without_a_measured_noise_nothing_that_differs_is_tied() -> None:
    (found,) = winners([ranked("onnx", 20.0), ranked("torchscript", 20.001)], NO_NOISE)
    assert found.variant == "words__onnx__triton__http"


def test_stand_ins_are_ranked_apart_and_the_winner_says_what_would_run() -> None:
    stand_in: dict[str, Any] = {"stand_in_for": "NVIDIA's native onnxruntime backend", "rank_class": "cpu, stand-ins"}
    found = winners([ranked("onnx", 5.0, **stand_in), ranked("savedmodel", 30.0)], NO_NOISE)
    assert [(item.rank_class, item.variant) for item in found] == [
        ("cpu, real", "words__savedmodel__triton__http"),
        ("cpu, stand-ins", "words__onnx__triton__http"),
    ]
    assert "deployment would run" not in found[0].sentence
    assert found[1].sentence.endswith("Among stand-ins: the deployment would run NVIDIA's native onnxruntime backend.")


def test_models_are_ranked_apart() -> None:
    found = winners([ranked("onnx", 5.0, model="b"), ranked("onnx", 50.0, model="a")], NO_NOISE)
    assert [(item.model, item.variant) for item in found] == [
        ("a", "a__onnx__triton__http"),
        ("b", "b__onnx__triton__http"),
    ]


def test_what_is_not_rankable_never_wins() -> None:
    embedded = ranked("savedmodel", 1.0, rankable=False, engine_kind="embedded")
    (found,) = winners([embedded, ranked("onnx", 20.0)], NO_NOISE)
    assert found.variant == "words__onnx__triton__http"
    assert "savedmodel" not in found.sentence
    assert winners([embedded], NO_NOISE) == []


def test_without_variants_there_are_no_winners() -> None:
    assert winners([], NO_NOISE) == []


def test_the_order_of_the_variants_does_not_matter() -> None:
    items = [ranked("onnx", 20.0), ranked("torchscript", 30.0), ranked("onnx", 10.0, "grpc")]
    assert winners(items, noise(0.1)) == winners(list(reversed(items)), noise(0.1))


def test_an_invalid_stage_gives_no_figure_to_rank_by() -> None:
    assert rank_p99(ranked("onnx", 5.0, stages=[stage("closed-1", 5.0), invalid_stage("open-200", 5.0)])) == float(
        "inf"
    )


def samples(mean: float, seed: int, count: int = 4000) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).gamma(4.0, mean / 4.0, count)


def test_noise_is_the_relative_difference_of_the_same_variant_measured_twice() -> None:
    first, again = ranked("onnx", 20.0).stages[0], ranked("onnx", 22.0).stages[0]
    found = noise_between("x", first, again, (samples(5.0, 1), samples(5.0, 2)))
    assert found.p99_relative == pytest.approx(2 / 21, abs=1e-4)
    assert found.p50_relative == 0.0
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_the_interval_of_the_noise_finds_a_real_difference() -> None:
    one = ranked("onnx", 20.0).stages[0]
    found = noise_between("x", one, one, (samples(5.0, 1), samples(6.0, 2)))
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 1 / 5.5 < found.high


def test_noise_that_was_not_measured_says_why() -> None:
    assert no_noise("the run was interrupted").reason == "the run was interrupted"
    assert no_noise("x").p99_relative is None


def test_a_winner_that_is_slower_than_one_that_misses_the_objectives_says_so() -> None:
    (found,) = winners([ranked("torchscript", 10.0, passed=False), ranked("onnx", 20.0)], NO_NOISE)
    assert "misses" in found.sentence or "10.00 ms" not in found.sentence
