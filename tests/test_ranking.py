"""Winners among equals, with their reason, and the noise below which a difference means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.search import Limit
from contract.verdict import MaxRate, Noise, Percentile, SloResult, StageResult, Variant
from report.judging.equal_load import equal_load, stage_at
from report.judging.margin import of_p99
from report.judging.noise import no_noise, noise_between, noise_of_rates
from report.judging.ranking import winners
from report.words import label
from tests.builders import search
from tests.report_samples import invalid_stage, stage, variant

NO_NOISE = no_noise("nothing was measured twice")


def noise(p99: float) -> Noise:
    return Noise(variant="x", p99_relative=p99, p50_relative=p99, low=-p99, high=p99, reason="measured twice")


QUIET = noise(0.0)


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
    (found,) = winners([slow, fast], QUIET)
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
    (found,) = winners([ranked("torchscript", 70.0, passed=False), ranked("onnx", 60.0, passed=False)], QUIET)
    assert found.variant == "words__onnx__triton__http"
    assert not found.passed
    assert found.sentence.endswith("; it misses the objectives.")


def test_the_only_one_of_its_class_says_so() -> None:
    (found,) = winners([ranked("onnx", 20.0)], NO_NOISE)
    assert "the only one of its class;" in found.sentence


def test_the_only_one_that_could_be_ranked_is_not_said_to_be_the_only_one() -> None:
    spoiled = [ranked(form, 5.0, rankable=False) for form in ("torchscript", "savedmodel")]
    other_class = ranked("torchscript", 5.0, "grpc", rankable=False, rank_class="gpu, real")
    (found,) = winners([ranked("onnx", 20.0), *spoiled, other_class], NO_NOISE)
    assert "the only one of its class that could be ranked, of 3;" in found.sentence


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
        assert f"less than the noise of this run ({100 * margin:.0f} %)" in found.sentence
        assert "(20.00, 21.00 ms)" in found.sentence


def test_noise_never_ties_a_variant_that_keeps_with_one_that_misses() -> None:
    (found,) = winners([ranked("onnx", 49.0), ranked("torchscript", 51.0, passed=False)], noise(0.5))
    assert found.variant == "words__onnx__triton__http"


def test_without_a_measured_noise_several_variants_have_no_winner_however_far_apart() -> None:
    first, second = ranked("onnx", 20.0), ranked("torchscript", 90.0)
    (found,) = winners([first, second], NO_NOISE)
    assert (found.variant, found.tied) == (None, [first.id, second.id])
    assert found.sentence == (
        f"words: the noise of this machine was not measured, so no winner between {label(first)} and {label(second)}; "
        "their p99 at 200 requests/s (20.00, 90.00 ms); the best keeps the objectives."
    )


def test_without_a_measured_noise_the_only_variant_still_wins() -> None:
    (found,) = winners([ranked("onnx", 20.0)], NO_NOISE)
    assert found.variant == "words__onnx__triton__http"
    (sole,) = winners([sought("onnx", 400.0)], NO_NOISE, search())
    assert sole.variant == "words__onnx__triton__http"


def test_without_a_measured_noise_keeping_the_objectives_still_decides() -> None:
    (found,) = winners([ranked("onnx", 20.0), ranked("torchscript", 60.0, passed=False)], NO_NOISE)
    assert found.variant == "words__onnx__triton__http"
    (held,) = winners([sought("onnx", 400.0), sought("torchscript", 150.0)], NO_NOISE, search())
    assert held.variant == "words__onnx__triton__http"


def test_without_a_measured_noise_the_resolution_of_a_search_crowns_nobody() -> None:
    first, second = sought("onnx", 3400.0), sought("torchscript", 1000.0)
    (found,) = winners([first, second], NO_NOISE, search())
    assert (found.variant, found.tied) == (None, [first.id, second.id])


@pytest.mark.parametrize(
    ("p99", "low", "high", "margin"),
    [(0.05, -0.01, 0.02, 0.05), (0.0001, -0.01, 0.02, 0.02), (0.0001, -0.04, 0.02, 0.04), (None, -0.04, 0.02, None)],
    ids=["its own difference", "a lucky pair", "the farther end", "not measured"],
)
def test_a_p99_is_never_known_better_than_the_mean(
    p99: float | None, low: float, high: float, margin: float | None
) -> None:
    measured = noise(0.0).model_copy(update={"p99_relative": p99, "low": low, "high": high})
    assert of_p99(measured) == margin


def test_a_lucky_pair_crowns_nobody_within_the_interval_of_the_mean() -> None:
    lucky = noise(0.00005).model_copy(update={"low": -0.03, "high": 0.02})
    (found,) = winners([ranked("onnx", 20.0), ranked("torchscript", 20.5)], lucky)
    assert found.variant is None
    assert "less than the noise of this run (3 %)" in found.sentence


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
    spoiled = ranked("onnx", 5.0, stages=[stage("closed-1", 5.0), invalid_stage("open-200", 5.0)])
    assert equal_load([spoiled], 200.0) is None
    assert winners([spoiled], QUIET) == []


def at(rate: float, p99: float, valid: bool = True, **changes: Any) -> StageResult:
    """An open-loop stage with a given p99."""
    made = stage(f"open-{rate:g}", 5.0) if valid else invalid_stage(f"open-{rate:g}", 5.0)
    figures = made.latency_ms.model_copy(update={"p99": Percentile(value=p99, upper=p99, missing=0)})
    return made.model_copy(update={"latency_ms": figures} | changes)


PROMISED = {"words": {"rate": 200.0, "p99_ms": 50.0}}


def test_p99s_of_different_rates_are_not_compared_and_the_missing_rate_is_said() -> None:
    both = ranked("onnx", 0.0, stages=[at(200, 20.0), at(300, 30.0)])
    only_higher = ranked("torchscript", 0.0, stages=[at(200, 9.0, valid=False), at(300, 10.0)])
    (found,) = winners([both, only_higher], QUIET, objectives=PROMISED)
    assert found.variant == both.id, "10 ms at 300 requests/s say nothing against 20 ms at 200"
    assert found.sentence == (
        f"words: {label(both)} is best, p99 20.00 ms at 200 requests/s; "
        f"not compared, with no valid p99 at 200 requests/s: {label(only_higher)}; it keeps the objectives."
    )


def test_a_rate_that_all_have_is_compared_where_nobody_was_measured_at_the_promised_one() -> None:
    fast = ranked("onnx", 0.0, stages=[at(250, 1.0), at(300, 20.0)])
    slow = ranked("torchscript", 0.0, stages=[at(250, 9.0, valid=False), at(300, 30.0)])
    (found,) = winners([fast, slow], QUIET, objectives=PROMISED)
    assert "p99 20.00 ms at 300 requests/s, against 30.00 ms" in found.sentence


def test_the_rate_is_one_at_which_those_that_keep_the_objectives_were_measured() -> None:
    keeps = ranked("onnx", 0.0, stages=[at(200, 20.0, valid=False), at(300, 30.0)])
    misses = ranked("torchscript", 0.0, passed=False, stages=[at(200, 60.0)])
    (found,) = winners([keeps, misses], QUIET, objectives=PROMISED)
    assert found.variant == keeps.id and "p99 30.00 ms at 300 requests/s" in found.sentence


def test_p99s_of_other_requests_are_not_compared_either() -> None:
    single = ranked("onnx", 0.0, stages=[at(200, 20.0), at(200, 30.0, payloads="rows-8")])
    only_rows = ranked("torchscript", 0.0, stages=[at(200, 9.0, valid=False), at(200, 25.0, payloads="rows-8")])
    (found,) = winners([single, only_rows], QUIET, objectives=PROMISED)
    assert "p99 25.00 ms at 200 requests/s of rows-8, against 30.00 ms" in found.sentence


def test_a_tie_names_who_was_not_compared_too() -> None:
    first, second = ranked("onnx", 20.0), ranked("torchscript", 20.1)
    third = ranked("onnx", 0.0, "grpc", stages=[at(200, 1.0, valid=False), at(300, 2.0)])
    (found,) = winners([first, second, third], noise(0.05), objectives=PROMISED)
    assert found.tied == [first.id, second.id]
    assert f"not compared, with no valid p99 at 200 requests/s: {label(third)}" in found.sentence


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


def test_the_intervals_of_the_noise_find_a_real_difference() -> None:
    one = ranked("onnx", 20.0).stages[0]
    found = noise_between("x", one, one, (samples(5.0, 1), samples(6.0, 2)))
    for low, high in ((found.low, found.high), (found.p50_low, found.p50_high), (found.p99_low, found.p99_high)):
        assert low is not None
        assert high is not None
        assert 0 < low < 1 / 5.5 < high


def test_the_margin_of_a_p99_of_few_requests_is_that_of_the_p50_three_times_as_wide() -> None:
    one = ranked("onnx", 20.0).stages[0]
    found = noise_between("x", one, one, (samples(5.0, 1, 300), samples(5.0, 2, 300)))
    assert (found.p99_low, found.p99_high) == (None, None)
    assert found.p50_low is not None
    assert found.p50_high is not None
    assert of_p99(found) == pytest.approx(3 * max(-found.p50_low, found.p50_high))


def test_the_less_is_known_of_a_p99_the_wider_is_its_margin() -> None:
    one = ranked("onnx", 20.0).stages[0]

    def margin(count: int) -> float:
        pairs = [(samples(5.0, 2 * seed, count), samples(5.0, 2 * seed + 1, count)) for seed in range(20)]
        return float(np.median([of_p99(noise_between("x", one, one, pair)) for pair in pairs]))

    with_p99, without = margin(1000), margin(400)
    assert margin(4000) < with_p99 < without


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.0])
def test_the_margin_of_few_requests_holds_the_p99_of_latencies_of_any_width(spread: float) -> None:
    one = ranked("onnx", 20.0).stages[0]
    draw = np.random.default_rng(7)
    outside = 0
    for _ in range(100):
        pair, fresh = draw.lognormal(0, spread, (2, 500)), draw.lognormal(0, spread, (2, 500))
        margin = of_p99(noise_between("x", one, one, (pair[0], pair[1])))
        first, again = np.sort(fresh)[:, 494]
        outside += abs(first - again) / ((first + again) / 2) > (margin or 0.0)
    assert outside <= 3


def test_requests_that_all_depend_on_each_other_tell_no_noise() -> None:
    one = ranked("onnx", 20.0).stages[0]
    rising = np.linspace(1.0, 9.0, 600)
    found = noise_between("x", one, one, (rising, rising))
    assert "depend on each other too much" in found.reason
    assert of_p99(found) is None


def test_older_reports_without_intervals_of_percentiles_keep_their_margin() -> None:
    assert of_p99(noise(0.04)) == 0.04


def test_two_p99_are_told_apart_only_beyond_the_interval_of_their_noise() -> None:
    one = ranked("onnx", 20.0).stages[0]
    found = noise_between("x", one, one, (samples(5.0, 1), samples(5.0, 2)))
    assert found.p99_low is not None
    assert found.p99_high is not None
    assert of_p99(found) == max(-found.p99_low, found.p99_high)


def test_equals_lie_within_the_interval_of_their_difference_at_least_as_often_as_it_says() -> None:
    one = ranked("onnx", 20.0).stages[0]
    outside, widths = 0, []
    for seed in range(100):
        found = noise_between("x", one, one, (samples(5.0, 2 * seed), samples(5.0, 2 * seed + 1)))
        assert found.p99_low is not None
        assert found.p99_high is not None
        outside += not found.p99_low <= 0 <= found.p99_high
        widths.append(found.p99_high - found.p99_low)
    assert outside <= 3  # a hundredth of 100 is one
    assert np.median(widths) < 0.3


def test_noise_that_was_not_measured_says_why() -> None:
    assert no_noise("the run was interrupted").reason == "the run was interrupted"
    assert no_noise("x").p99_relative is None


def test_a_winner_that_is_slower_than_one_that_misses_the_objectives_says_so() -> None:
    (found,) = winners([ranked("torchscript", 10.0, passed=False), ranked("onnx", 20.0)], NO_NOISE)
    assert "misses" in found.sentence or "10.00 ms" not in found.sentence


def sought(
    format: str, rate: float | None, protocol: str = "http", limited_by: Limit = "server", **changes: Any
) -> Variant:
    """A rankable variant whose highest rate was confirmed."""
    confirmed = stage(f"open-{rate or 200:g}", 5.0, purpose="confirm")
    passed = rate is not None and rate >= 200
    answer = MaxRate(value=rate, low=rate, high=rate and 1.04 * rate, limited_by=limited_by)
    fields = {"slo": slo(passed).model_copy(update={"max_rps": answer}), "stages": [confirmed] if rate else []}
    return ranked(format, 20.0, protocol, passed, **(fields | changes))


def rate_noise(relative: float) -> Noise:
    return no_noise("sought twice").model_copy(update={"variant": "x", "max_rps_relative": relative})


def test_with_a_search_the_highest_rate_wins_whatever_its_p99() -> None:
    slow, fast = sought("torchscript", 1000.0), sought("onnx", 3400.0)
    (found,) = winners([slow, fast], rate_noise(0.0), search())
    assert found.variant == fast.id
    assert found.passed
    assert found.sentence == (
        f"words: {label(fast)} holds the highest rate under the objectives, 3,400 requests/s, "
        f"against 1,000 of {label(slow)}; it keeps the objectives."
    )


@pytest.mark.parametrize(
    ("noise_relative", "resolution", "tied"),
    [(0.0, 0.05, False), (0.11, 0.05, True), (0.0, 0.11, True)],
    ids=["neither", "within the noise", "within the resolution"],
)
def test_rates_closer_than_the_noise_or_the_resolution_are_a_tie(
    noise_relative: float, resolution: float, tied: bool
) -> None:
    first, second = sought("onnx", 1000.0), sought("torchscript", 900.0)
    (found,) = winners([second, first], rate_noise(noise_relative), search(resolution=resolution))
    assert found.tied == ([first.id, second.id] if tied else [])
    if tied:
        what = "the noise of this run (11 %)" if noise_relative else "the resolution of the search (11 %)"
        assert f"(1,000, 900 requests/s) differ by less than {what}" in found.sentence


def test_a_rate_that_the_load_generator_limited_is_said_to_be_a_lower_bound() -> None:
    (found,) = winners([sought("onnx", 3400.0, limited_by="load generator")], NO_NOISE, search())
    assert "3,400 or more requests/s, the only one of its class" in found.sentence


def test_what_has_no_confirmed_rate_never_wins() -> None:
    none = sought("torchscript", None)
    (found,) = winners([none, sought("onnx", 150.0)], NO_NOISE, search())
    assert found.variant == "words__onnx__triton__http"
    assert found.sentence.endswith("no rate of its equals was confirmed; it misses the objectives.")
    assert winners([none], NO_NOISE, search()) == []


def test_a_p99_is_taken_from_the_confirmation_that_was_kept() -> None:
    def confirmation(rate: float, p99: float) -> StageResult:
        made = stage(f"open-{rate:g}", 5.0, purpose="confirm")
        figures = made.latency_ms.model_copy(update={"p99": Percentile(value=p99, upper=p99, missing=0)})
        return made.model_copy(update={"latency_ms": figures})

    knee = stage("closed-16", 5.0, purpose="knee")
    probe = stage("open-900", 5.0, purpose="probe", judged=False)
    stages = [knee, probe, confirmation(420.0, 70.0), confirmation(400.0, 31.0)]
    shown = stage_at(sought("onnx", 400.0, stages=stages), 400.0)
    assert shown is not None and shown.latency_ms.p99.value == 31.0


def test_the_noise_of_a_search_is_how_far_the_same_rate_lay_apart() -> None:
    first, again = (MaxRate(value=value, low=value, high=None) for value in (100.0, 110.0))
    found = noise_of_rates("x", first, again)
    assert found.max_rps_relative == pytest.approx(10 / 105, abs=1e-4)
    assert found.p99_relative is None
    assert "100 and 110 requests/s" in found.reason
    missing = noise_of_rates("x", first, MaxRate(value=None, low=None, high=None))
    assert (missing.variant, missing.max_rps_relative) == (None, None)


@pytest.mark.parametrize(
    ("promised", "unclaimed", "caveat"),
    [({"p99_ms": 50.0, "p999_ms": 90.0}, "p999", True), ({"p50_ms": 30.0}, "p99", False)],
    ids=["a promised one may not be claimed", "one that nobody promised may not"],
)
def test_a_winner_is_as_measured_where_what_was_promised_may_not_be_claimed(
    promised: dict[str, float], unclaimed: str, caveat: bool
) -> None:
    (opened,) = ranked("onnx", 20.0).stages
    unknown = Percentile(value=25.0, upper=None, missing=4321)
    opened = opened.model_copy(update={"latency_ms": opened.latency_ms.model_copy(update={unclaimed: unknown})})
    (found,) = winners([ranked("onnx", 20.0, stages=[opened])], QUIET, None, {"words": {"rate": 200.0, **promised}})
    as_measured = " as measured (about 4,321 more requests would carry the claim)"
    assert found.sentence.endswith(f"; it keeps the objectives{as_measured if caveat else ''}.")
