"""From the files of one run to its report: PASS, FAIL or INVALID, and who may be ranked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.codecs.triton_http import LENGTH_HEADER
from contract.events import append_event, happened
from contract.files import write_bytes
from contract.records import Seeds, Stage, VariantPlan, answer_frame
from contract.shapes import Payloads, Steady
from report.judging.deciding import decide
from report.recommending import recommend
from tests.builders import open_stage, parity
from tests.report_runs import STAGES, Run, answer, embedded, real
from tests.report_samples import variant


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "20260131-120000"
    folder.mkdir()
    return Run(folder)


def test_a_run_that_keeps_its_objectives_passes(run: Run) -> None:
    run.add(real())
    report = run.report()
    assert (report.verdict, report.sentence) == (
        "PASS",
        "PASS: every model (words) has a variant that keeps its objectives.",
    )
    (found,) = report.variants
    assert found.rankable
    assert found.not_ranked_because == []
    assert [stage.valid for stage in found.stages] == [True, True]
    assert [winner.variant for winner in report.winners] == [found.id]


def test_figures_are_those_of_the_records(run: Run) -> None:
    run.add(real(), 20.0)
    opened = run.report().variants[0].stages[1]
    assert opened.requests == 1000
    assert opened.offered_rps == 200.0
    assert opened.latency_ms.p50.value == pytest.approx(20.0, rel=0.01)
    assert opened.latency_ms.max.value == pytest.approx(22.0, rel=0.001)


def test_the_report_names_the_seeds_that_were_drawn_by(run: Run) -> None:
    run.add(real())
    assert run.report().seeds == Seeds(schedule=1, payload=2, sampling=3)


def test_the_fairness_sheet_says_what_else_was_resident(run: Run) -> None:
    run.add(real(conditions={"threads": "1"}))
    assert run.report().variants[0].conditions == {"threads": "1", "also resident": "nothing"}


def test_missing_an_objective_fails_the_run(run: Run) -> None:
    run.add(real(), 60.0)
    report = run.report()
    assert (report.verdict, report.sentence) == ("FAIL", "FAIL: no variant of words keeps its objectives.")
    assert report.variants[0].rankable
    assert report.variants[0].slo.passed is False


def test_one_variant_that_keeps_them_is_enough(run: Run) -> None:
    run.add(real(), 60.0)
    run.add(real(protocol="grpc", engine="triton"), 5.0, sampled=False)
    assert run.report().verdict == "FAIL"  # the faster one was not proven: no answers were sampled


@pytest.mark.parametrize(("errors", "verdict"), [(1, "PASS"), (2, "FAIL"), (60, "INVALID")])
def test_errors_miss_the_objective_and_many_errors_invalidate(run: Run, errors: int, verdict: str) -> None:
    run.add(real(), errors=errors)
    assert run.report().verdict == verdict


def test_wrong_answers_make_a_stage_invalid_and_the_run_with_it(run: Run) -> None:
    run.add(real(), wrong=(1,))
    report = run.report()
    assert report.verdict == "INVALID"
    opened = report.variants[0].stages[1]
    assert not opened.valid
    assert opened.wrong_answers == 1
    assert any(reason.startswith("answers: 1 of 1") and "r0000" in reason for reason in opened.reasons)
    wrong, unjudged = report.variants[0].not_ranked_because
    assert wrong == "1 of 2 sampled answers under load were wrong"
    assert unjudged.startswith(
        "it has no valid open-loop stage (open-200: 1 of 1 sampled answers differ from the trained model's"
    )
    assert "1 of 2 stages is INVALID: nothing is judged from what is shown of them." in report.warnings


def test_a_variant_that_gave_wrong_answers_in_any_stage_is_not_ranked(run: Run) -> None:
    run.add(real(), wrong=(0,))
    report = run.report()
    assert not report.variants[0].stages[0].valid
    assert not report.variants[0].rankable


def test_unsampled_answers_prove_nothing(run: Run) -> None:
    run.add(real(), sampled=False)
    assert run.report().verdict == "INVALID"


def test_the_embedded_server_is_shown_and_never_ranked(run: Run) -> None:
    run.add(embedded(), 1.0)
    run.add(real(), 20.0)
    report = run.report()
    shown = {item.engine_kind: item for item in report.variants}
    assert len(shown["embedded"].stages) == 2
    assert not shown["embedded"].rankable
    assert "not what a deployment would run" in shown["embedded"].not_ranked_because[0]
    assert [winner.variant for winner in report.winners] == ["words__onnx__triton__http"]
    assert recommend(report).models["words"].variant == "words__onnx__triton__http"
    assert any("embedded stand-in" in warning for warning in report.warnings)


def test_a_run_of_the_embedded_server_alone_carries_no_verdict(run: Run) -> None:
    run.add(embedded())
    report = run.report()
    assert report.verdict == "INVALID"
    assert report.winners == []
    assert recommend(report).models == {}


def test_stand_ins_are_ranked_among_themselves_and_warned_of(run: Run) -> None:
    run.add(real(stand_in_for="NVIDIA's native onnxruntime backend of release 26.08"), 5.0)
    run.add(real(format="savedmodel"), 20.0)
    report = run.report()
    assert {winner.rank_class: winner.variant for winner in report.winners} == {
        "cpu, stand-ins": "words__onnx__triton__http",
        "cpu, real": "words__savedmodel__triton__http",
    }
    assert any("stand in for NVIDIA's native onnxruntime backend" in warning for warning in report.warnings)
    assert recommend(report).models["words"].variant == "words__savedmodel__triton__http"


def test_devices_are_ranked_apart(run: Run) -> None:
    run.add(real(device="gpu:NVIDIA L4"))
    run.add(real(format="torchscript"))
    assert {winner.rank_class for winner in run.report().winners} == {"gpu:NVIDIA L4, real", "cpu, real"}


@pytest.mark.parametrize("side", ["parity_export", "parity_engine", "parity_endpoint"])
def test_a_variant_that_does_not_agree_with_the_trained_model_is_not_ranked(run: Run, side: str) -> None:
    run.add(real(**{side: parity(passed=False)}))
    report = run.report()
    assert report.variants[0].not_ranked_because == ["it does not agree with the trained model"]
    assert report.verdict == "INVALID"


@pytest.mark.parametrize("stages", [0, 1])
def test_an_interrupted_run_reports_what_is_there_and_carries_no_verdict(run: Run, stages: int) -> None:
    run.add(real(), stages=stages)
    report = run.report()
    (found,) = report.variants
    assert not found.complete
    assert len(found.stages) == stages
    assert not found.rankable
    assert found.slo.passed is None
    assert report.verdict == "INVALID"


def test_a_run_that_was_interrupted_before_the_first_record_can_still_be_judged(run: Run) -> None:
    run.variants.append(VariantPlan(id=real().id, endpoint=real(), stages=STAGES, repeat_of=None))
    report = run.report()
    assert report.variants[0].stages == []
    assert report.verdict == "INVALID"


def test_every_model_must_have_a_variant_that_counts(run: Run) -> None:
    run.add(real(model="a"))
    run.add(real(model="b"), stages=1)
    report = run.report()
    assert report.verdict == "INVALID"
    assert "no variant of b was measured well enough" in report.sentence
    assert "a," not in report.sentence


def test_of_many_models_a_sentence_names_a_few_and_how_many_more(run: Run) -> None:
    for name in ("a", "b", "c", "d", "e", "f"):
        run.add(real(model=name), stages=1)
    assert "no variant of a, b, c or 3 more was measured well enough" in run.report().sentence


def test_what_happened_to_the_servers_during_the_run_is_told(run: Run) -> None:
    run.add(real())
    event = happened("restarted", "triton", None, "triton answers rightly again after 9.0 s")
    append_event(run.folder / "events.jsonl", event)
    (told,) = [text for text in run.report().warnings if text.startswith("During the run")]
    assert event.detail in told
    assert event.at[11:19] in told


def test_the_repeat_gives_the_noise_and_is_no_variant_of_its_own(run: Run) -> None:
    first = run.add(real(), 20.0)
    run.add(real(), 22.0, repeat_of=first.id)
    report = run.report()
    assert [item.id for item in report.variants] == [first.id]
    assert report.noise.variant == first.id
    assert report.noise.p99_relative == pytest.approx(2 / 21, abs=0.002)
    assert report.noise.low is not None
    assert report.noise.low > 0


def test_variants_within_the_noise_are_tied(run: Run) -> None:
    first = run.add(real(), 20.0)
    run.add(real(format="torchscript"), 21.0)
    run.add(real(), 22.0, repeat_of=first.id)
    (winner,) = run.report().winners
    assert winner.variant is None
    assert winner.tied == ["words__onnx__triton__http", "words__torchscript__triton__http"]


@pytest.mark.parametrize("stages", [0, 1], ids=["without the repeat", "with it"])
def test_noise_needs_both_measurements(run: Run, stages: int) -> None:
    first = run.add(real())
    run.add(real(), repeat_of=first.id, stages=stages)
    noise = run.report().noise
    assert (noise.p99_relative is None) is (stages == 0)
    if stages == 0:
        assert noise.reason == "the run was interrupted before a variant was measured twice"


def test_of_several_rates_the_noise_is_that_of_one_that_was_valid_both_times(run: Run) -> None:
    rates = [open_stage(200.0, 5.0), open_stage(100.0, 10.0)]
    first = run.add(real(), 20.0, planned=rates)
    run.add(real(), 22.0, planned=rates, repeat_of=first.id, wrong=(0,))
    noise = run.report().noise
    assert noise.variant == first.id and noise.p99_relative == pytest.approx(2 / 21, abs=0.002)


def test_no_rate_that_was_valid_both_times_means_no_noise(run: Run) -> None:
    first = run.add(real(), 20.0)
    run.add(real(), 22.0, repeat_of=first.id, wrong=(0,))
    noise = run.report().noise
    assert noise.p99_relative is None and "not both were valid" in noise.reason


def test_no_real_endpoint_means_no_noise_and_says_so(run: Run) -> None:
    run.add(embedded())
    assert "nothing was measured twice" in run.report().noise.reason


def test_a_shared_machine_and_a_cpu_are_warned_of(run: Run) -> None:
    run.add(real())
    warnings = run.report(same_machine=True).warnings
    assert any("share the 2 cores of one machine" in warning for warning in warnings)
    assert any("ran on a CPU" in warning for warning in warnings)
    assert not any("share the" in warning for warning in run.report(same_machine=False).warnings)


def test_idle_neighbours_are_warned_of(run: Run) -> None:
    run.add(real())
    assert any("2 served models were resident" in warning for warning in run.report(resident=["a", "b"]).warnings)


def test_judging_twice_gives_the_same_report(run: Run) -> None:
    first = run.add(real(), 20.0)
    run.add(real(), 21.0, repeat_of=first.id)
    assert run.report() == run.report()


def test_what_is_not_served_is_kept_with_its_status(run: Run) -> None:
    run.add(real())
    unserved = {"words torchscript": "failed: 'logits' is out of tolerance"}
    assert run.report(unserved=unserved).unserved == unserved


def test_a_model_of_which_nothing_could_be_served_keeps_the_run_from_passing(run: Run) -> None:
    run.add(real())
    report = run.report(unserved={"images onnx": "failed: NaN in 3 elements", "images savedmodel": "failed: NaN"})
    assert report.verdict == "INVALID"


Answers = Callable[[], tuple[dict[str, str], bytes]]


@pytest.mark.parametrize(
    "answered",
    [lambda: ({}, b"not the protocol"), lambda: ({LENGTH_HEADER: "many"}, answer()[1])],
    ids=["garbage", "a length that is no number"],
)
def test_an_answer_that_cannot_be_decoded_is_a_wrong_answer(run: Run, answered: Answers) -> None:
    item = run.add(real(), sampled=False)
    headers, body = answered()
    write_bytes(run.folder / f"answers-{item.id}-0.bin", answer_frame(1, "r0000", headers, body))
    opened = run.report().variants[0].stages[1]
    assert (opened.answers_checked, opened.wrong_answers) == (1, 1)
    assert not opened.valid


def test_an_answer_to_a_request_that_is_not_golden_is_a_wrong_answer(run: Run) -> None:
    item = run.add(real(), sampled=False)
    write_bytes(run.folder / f"answers-{item.id}-0.bin", answer_frame(1, "r9999", *answer()))
    assert "r9999 is not a request of this run" in "; ".join(run.report().variants[0].stages[1].reasons)


def test_nothing_measured_is_invalid() -> None:
    assert decide([])[0] == "INVALID"


@pytest.mark.parametrize(
    ("rankable", "passed", "verdict"),
    [
        (True, True, "PASS"),
        (True, False, "FAIL"),
        (True, None, "FAIL"),
        (False, True, "INVALID"),
        (False, None, "INVALID"),
    ],
)
def test_the_verdict_follows_from_the_best_rankable_variant(rankable: bool, passed: bool | None, verdict: str) -> None:
    base = variant("words", "onnx", "triton", "http")
    item = base.model_copy(update={"rankable": rankable, "slo": base.slo.model_copy(update={"passed": passed})})
    assert decide([item])[0] == verdict


def test_what_may_not_be_claimed_yet_is_said_in_the_sentence_of_the_verdict() -> None:
    base = variant("words", "onnx", "triton", "http")
    promised = {"words": {"rate": 200.0, "p99_ms": 50.0, "p9999_ms": 90.0}}
    assert decide([base], objectives={"words": {"rate": 200.0, "p99_ms": 50.0}})[1] == (
        "PASS: every model (words) has a variant that keeps its objectives."
    )
    assert decide([base], objectives=promised)[1] == (
        "PASS: every model (words) has a variant that keeps its objectives, "
        "as measured: a claim at 99 % confidence needs more requests."
    )
    other = base.model_copy(update={"id": "other", "model": "other"})
    assert decide([base, other], objectives=promised)[1].endswith(
        "keeps its objectives, for words only as measured: a claim at 99 % confidence needs more requests."
    )


def test_an_unrankable_variant_does_not_save_a_model_whose_rankable_one_misses() -> None:
    base = variant("words", "onnx", "triton", "http")
    slow = base.model_copy(update={"slo": base.slo.model_copy(update={"passed": False})})
    fast = base.model_copy(update={"id": "other", "rankable": False})
    assert decide([slow, fast])[0] == "FAIL"


def steady(rate: float, **changes: Any) -> Stage:
    """A stage as models.toml would plan it."""
    shape = Steady(shape="steady", rate=rate, **changes)
    return open_stage(rate).model_copy(update={"shape": shape, "payloads": "real" if "payloads" in changes else ""})


def test_a_run_below_the_promised_rate_does_not_pass(run: Run) -> None:
    run.add(real(), stages=1, planned=[steady(10.0)])
    report = run.report(load_plan="slow")
    assert (report.verdict, report.sentence) == (
        "INVALID",
        "INVALID: the load plan 'slow' has no stage at the promised rate to judge.",
    )
    assert not report.variants[0].rankable
    assert "plan a stage with rate = 200" in report.variants[0].not_ranked_because[0]
    assert (report.winners, recommend(report).models) == ([], {})
    assert report.advice["words"].startswith("words: nothing can be advised: ")


def test_a_stage_that_is_kept_below_the_promised_rate_does_not_save_a_run_that_misses_it(run: Run) -> None:
    run.add(real(), 60.0, stages=1, planned=[steady(200.0)])
    assert run.report().verdict == "FAIL"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"arrivals": "constant"}, "its arrivals are constant, promised are Poisson arrivals"),
        ({"payloads": Payloads(file=Path("real.npz"))}, "the answers to its requests (real) are not known"),
        ({"payloads": Payloads(length=(8, 64))}, "the answers to its requests (real) are not known"),
    ],
    ids=["evenly spaced", "brought requests", "changed lengths"],
)
def test_what_is_unlike_the_promise_is_shown_and_not_judged(run: Run, changes: dict[str, Any], why: str) -> None:
    run.add(real(), stages=1, planned=[steady(200.0, **changes)])
    report = run.report(load_plan="mine")
    assert report.verdict == "INVALID"
    assert report.sentence == (
        "INVALID: the load plan 'mine' has no open-loop stage with a steady rate, Poisson arrivals and requests whose "
        "answers are known to judge."
    )
    (stage,) = report.variants[0].stages
    assert stage.valid
    assert why in stage.notes[0]
    assert why in report.variants[0].not_ranked_because[0]


def test_batches_of_golden_requests_have_known_answers_and_are_judged(run: Run) -> None:
    run.add(real(), stages=1, planned=[steady(200.0, payloads=Payloads(rows=[8]))])
    assert run.report().verdict == "PASS"


def test_noise_of_stages_that_are_not_judged_is_no_noise_of_what_is_ranked(run: Run) -> None:
    planned = [steady(200.0), steady(200.0, arrivals="constant")]
    run.add(real(), planned=planned)
    run.add(real(), planned=planned[1:], stages=1, repeat_of=real().id)
    noise = run.report().noise
    assert noise.variant is None
    assert noise.reason.startswith("what was measured twice is not what the objectives are judged on")
