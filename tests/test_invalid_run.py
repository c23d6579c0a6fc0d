"""A run on a busy machine says so once, why its variants are not ranked, and marks what was shown of it."""

from __future__ import annotations

from contract.slo import Slo
from contract.verdict import Check, Report, ServerSide, StageResult, Used, Variant
from report.beside import caveats, unranked
from report.beside.circumstances import circumstances
from report.figures.validity import check
from report.forms.markdown import render_markdown
from report.forms.terminal import SPOILED, render_summary
from report.judging.advice import advise
from report.judging.invalid import FAILED, briefly, in_full
from tests import report_samples as samples
from tests.test_validity import facts

QUIET = "measure again on a quiet machine"


def side(taken: float | None) -> ServerSide:
    """A server of a tenth of a core on a machine of two, on which other work took so many."""
    used = Used(mean=0.1, most=0.2)
    return ServerSide(
        server="triton",
        cpu=used,
        load_cpu=used,
        machine_cpu=used,
        busiest_core=None,
        steal=None,
        cores=2,
        other_cpu=taken,
        reported_cpu=None,
        memory_begin_mib=None,
        memory_end_mib=None,
        memory_slope=None,
        private_mib=None,
        threads=None,
        connections=None,
        pending=None,
        restarts=0,
        gpus=[],
        absent={},
        course=[],
    )


def late(share: float) -> StageResult:
    """An open-loop stage of which so many requests left late."""
    failed = Check(
        name="sent on time",
        passed=False,
        detail=f"{share:.2%} of the requests left over 2.5 ms late, at most 5% allowed",
        recommendation=QUIET,
    )
    return samples.stage("open-200", 3.0).model_copy(update={"valid": False, "checks": [failed], "reasons": ["late"]})


def spoiled(format: str, protocol: str, share: float) -> Variant:
    """A variant whose only open-loop stage says nothing."""
    stages = [samples.stage("closed-16", 3.0, valid=False), late(share)]
    found = samples.variant("words", format, "triton", protocol, stages=stages)
    return found.model_copy(update={"rankable": False, "not_ranked_because": [in_full(stages)]})


def run(*variants: Variant) -> Report:
    return samples.report(variants=list(variants), objectives={"words": {"rate": 200.0, "p99_ms": 50.0}}, winners=[])


THREE = [spoiled("onnx", "http", 0.082), spoiled("onnx", "grpc", 0.173), spoiled("torchscript", "http", 0.058)]


def test_other_work_is_told_once_with_how_many_stages_it_fell_into() -> None:
    taken = [1.6, 1.2, 0.3, None]
    stages = [samples.stage("open-200", 3.0, server_side=side(cores)) for cores in taken]
    busy = samples.variant("words", "onnx", "triton", "http", stages=stages)
    assert caveats.busy([busy]) == [
        "Other work took 1.4 of 2 cores in 2 of 3 stages: servers and load had to share what was left. Measure again "
        "on a quiet machine."
    ]
    assert "; other work took 1.4 of 2 cores in 2 of 3 stages" in circumstances(run(busy), [busy])


def test_a_quiet_machine_and_one_that_was_not_sampled_give_no_warning() -> None:
    stages = [samples.stage("open-200", 3.0, server_side=side(0.1)), samples.stage("closed-1", 3.0)]
    assert caveats.busy([samples.variant("words", "onnx", "triton", "http", stages=stages)]) == []


def test_invalid_stages_are_counted_without_the_probes_of_a_search() -> None:
    probe = late(0.5).model_copy(update={"purpose": "probe"})
    stages = [samples.stage("closed-1", 3.0), late(0.5), probe]
    assert caveats.invalid([samples.variant("words", "onnx", "triton", "http", stages=stages)]) == [
        "1 of 2 stages is INVALID: nothing is judged from what is shown of them."
    ]
    assert caveats.invalid([samples.variant("words", "onnx", "triton", "http")]) == []


def test_the_reason_for_invalid_is_what_was_measured_and_never_what_should_have_held() -> None:
    assert in_full([late(0.082)]) == (
        "it has no valid open-loop stage (open-200: 8.20% of the requests left over 2.5 ms late, at most 5% allowed)"
    )
    assert briefly([late(0.082)]) == "no valid open-loop stage: sends were late"
    assert briefly([late(0.082), samples.stage("open-100", 3.0)]) == ""


def test_every_check_that_can_fail_has_words_for_its_failure() -> None:
    found = [
        *check(facts(lost=["vm_1"], ceiling_rps=1000.0), Slo()),
        *check(facts("closed"), Slo()),
    ]
    told_only = {"generator", "in flight"}  # never a reason: they always pass
    assert {item.name for item in found} - told_only == set(FAILED)


def test_variants_with_one_reason_share_a_sentence_and_a_recommendation() -> None:
    report = run(*THREE)
    (sentence,) = unranked.sentences(report)
    assert sentence == (
        "words, onnx on Triton, HTTP; onnx on Triton, gRPC; torchscript on Triton, HTTP: "
        "no valid open-loop stage: sends were late (the first: open-200: 8.20% of the requests left over 2.5 ms late, "
        "at most 5% allowed)"
    )
    assert unranked.next_steps(report) == [f"{QUIET} (3 variants)"]
    assert render_summary(report).count("left over 2.5 ms late") == 1
    assert f"> what to do: {QUIET} (3 variants)" in render_summary(report)
    assert f"What to do: {QUIET} (3 variants)" in render_markdown(report)


def test_another_reason_has_a_sentence_of_its_own_with_its_figures() -> None:
    apart = THREE[1].model_copy(update={"not_ranked_because": ["the embedded server is not what would run"]})
    found = unranked.sentences(run(THREE[0], apart))
    assert [text.split(": ")[0] for text in found] == ["words, onnx on Triton, HTTP", "words, onnx on Triton, gRPC"]
    assert found[0].endswith(in_full(THREE[0].stages))


def test_what_cannot_be_advised_is_said_in_one_breath() -> None:
    assert advise(run(*THREE))["words"] == (
        "words: nothing can be advised: all 3 variants: no valid open-loop stage: sends were late."
    )
    good = samples.variant("words", "savedmodel", "triton", "http")
    assert advise(run(good, *THREE))["words"].endswith(
        "Not the others: all 3 variants: no valid open-loop stage: sends were late."
    )


def test_the_terminal_marks_every_figure_of_an_invalid_stage_and_explains_the_mark() -> None:
    (row,) = [line for line in render_summary(run(THREE[0])).splitlines() if line.startswith("x onnx on Triton")]
    figures = row.removeprefix("x onnx on Triton, HTTP").split()
    assert [text.endswith(SPOILED) for text in figures[:4]] == [True] * 4  # throughput, p50, p95, p99
    assert f"\n{SPOILED} of an INVALID stage" in render_summary(run(THREE[0]))


def test_without_an_invalid_stage_there_is_no_mark_and_no_legend() -> None:
    assert SPOILED not in render_summary(run(samples.variant("words", "onnx", "triton", "http")))
