"""What heads a run that goes beyond the maximum and judges nothing: what it found, or why that is not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.shapes import Steady
from contract.verdict import Check, Overload, StageResult, Variant
from report.__main__ import main
from report.judging.unjudged import unjudged
from tests import report_samples as samples
from tests.builders import closed_stage, open_stage
from tests.report_runs import Run, real

MISSING = "has no stage to judge"
FOUND, DOUBTED = "so nothing is judged. ", "is not to be trusted: "
MAXIMUM, ABOVE = 1000.0, "open-1500"


def failing(name: str) -> dict[str, Any]:
    """The change to a stage that fails one check."""
    check = Check(name=name, passed=False, detail="a figure", recommendation=None)
    return {"valid": False, "checks": [check], "reasons": [f"{name}: a figure"]}


def overloaded(
    model: str = "words", spoiled: dict[str, str] | None = None, shown: dict[str, Any] | None = None, **changes: Any
) -> Variant:
    """A variant that went through the plan. ``spoiled``: stage -> a check that it failed; ``shown``: its overload."""
    found = {
        "stage": ABOVE,
        "maximum_rps": MAXIMUM,
        "offered_rps": 1500.0,
        "goodput_rps": 940.0,
        "refused": 560,
        "recovery_s": 1.5,
        "sentence": "all of it",
    }
    stages = [
        _stage("closed-4", 800.0),
        _stage("closed-16", MAXIMUM),
        _stage("open-500", 500.0),
        _stage(ABOVE, 940.0).model_copy(update=failing("kept up")),
        _stage("open-500", 500.0).model_copy(update={"name": "open-500-2"}),
    ]
    worse = [
        item.model_copy(update=failing(spoiled[item.name])) if spoiled and item.name in spoiled else item
        for item in stages
    ]
    beyond = Overload(**(found | (shown or {})))
    return samples.variant(
        model, "onnx", "triton", "http", rankable=False, **({"stages": worse, "overload": beyond} | changes)
    )


def _stage(name: str, throughput_rps: float) -> StageResult:
    return samples.stage(name, 1.0, throughput_rps=throughput_rps, judged=False)


def test_an_overload_is_headed_by_what_it_found() -> None:
    assert unjudged("overload", MISSING, [overloaded()]) == (
        "INVALID: the load plan 'overload' goes beyond the maximum and has no stage to judge, so nothing is judged. "
        "words, onnx on Triton, HTTP, asked for more, still answered 94 % of its maximum and was itself again after "
        "1.50 s. Objectives are judged by 'make loadtest'."
    )


def test_a_server_that_did_not_recover_is_a_finding_and_no_spoiled_measurement() -> None:
    spoiled = {ABOVE: "error rate", "open-500-2": "error rate"}
    sentence = unjudged("overload", MISSING, [overloaded(spoiled=spoiled, shown={"recovery_s": None})])
    assert FOUND in sentence and "was not itself again in time" in sentence
    assert "and was itself again at once." in unjudged("overload", MISSING, [overloaded(shown={"recovery_s": 0.0})])


@pytest.mark.parametrize(("checked", "found"), [(0, True), (7, False)])
def test_answers_that_never_came_are_no_wrong_ones(checked: int, found: bool) -> None:
    variant = overloaded(spoiled={"open-500-2": "answers"}, shown={"recovery_s": None})
    stages = [item.model_copy(update={"answers_checked": checked}) for item in variant.stages]
    told = unjudged("overload", MISSING, [variant.model_copy(update={"stages": stages})])
    assert (FOUND in told) is found


@pytest.mark.parametrize(
    ("stage", "check"),
    [
        ("closed-16", "steady"),
        ("open-500", "kept up"),
        ("open-500", "error rate"),
        (ABOVE, "sent on time"),
        (ABOVE, "generator CPU"),
        (ABOVE, "answers"),
        ("open-500-2", "duration"),
    ],
)
def test_an_overload_whose_stages_are_not_to_be_trusted_found_nothing(stage: str, check: str) -> None:
    sentence = unjudged("overload", MISSING, [overloaded(spoiled={stage: check})])
    assert FOUND not in sentence
    assert f"{DOUBTED}words, onnx on Triton, HTTP: {stage}: {check}: a figure. Measure again" in sentence


def test_a_closed_stage_that_did_not_give_the_maximum_spoils_nothing() -> None:
    assert FOUND in unjudged("overload", MISSING, [overloaded(spoiled={"closed-4": "steady"})])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"complete": False}, "its measurement was interrupted"),
        ({"shown": {"goodput_rps": 1490.0}}, "its maximum was found too low, so this was no overload"),
        ({"parity": samples.variant("words", "onnx", "triton", "http").parity.model_copy(
            update={"endpoint": samples.parity(passed=False)})}, "it does not agree with the trained model"),
    ],
    ids=["interrupted", "no overload", "parity"],
)  # fmt: skip
def test_what_was_no_overload_of_what_was_exported_found_nothing(changes: dict[str, Any], why: str) -> None:
    sentence = unjudged("overload", MISSING, [overloaded(**changes)])
    assert FOUND not in sentence and why in sentence


def test_every_model_needs_a_variant_that_shows_it() -> None:
    bad = overloaded("words", {"open-500": "sent on time"}, id="spoiled")
    assert FOUND in unjudged("overload", MISSING, [overloaded(), bad])
    assert "spoiled" not in unjudged("overload", MISSING, [overloaded(), bad])
    sentence = unjudged("overload", MISSING, [overloaded("digits"), bad], {"lost"})
    assert FOUND not in sentence
    assert "digits" not in sentence and "open-500: sent on time" in sentence and "lost: it is not served" in sentence


def test_of_many_variants_the_first_are_named() -> None:
    sentence = unjudged("overload", MISSING, [overloaded(f"model{n}") for n in range(5)])
    assert "model2, onnx" in sentence and "model3" not in sentence and "; 2 more below. Objectives" in sentence


def test_a_plan_that_neither_judges_nor_goes_beyond_the_maximum_says_what_it_lacks() -> None:
    told = unjudged("slow", MISSING, [samples.variant("words", "onnx", "triton", "http")])
    assert told == "INVALID: the load plan 'slow' has no stage to judge."


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "results" / "20240131-120000"
    folder.mkdir(parents=True)
    return Run(folder)


def of_maximum(part: float, rate: float, seconds: float, name: str) -> Any:
    shape = Steady(shape="steady", of_maximum=part)
    return open_stage(rate, seconds).model_copy(update={"shape": shape, "judged": False, "name": name})


# A thousand requests in each stage: a closed loop of 1,000/s, and as many good answers where 1,500/s are asked for.
PLANNED = [
    closed_stage(4, 1.0),
    of_maximum(0.5, 500.0, 2.0, "open-50%"),
    of_maximum(1.5, 1500.0, 1.0, "open-150%"),
    of_maximum(0.5, 500.0, 2.0, "open-50%-2"),
]


def test_the_gate_lets_no_overload_through(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run.add(real(), stages=4, planned=PLANNED)
    run.write(load_plan="overload")
    where = ["--workspace", str(tmp_path)]
    assert main([str(run.folder), *where, "--only", "json", "md", "html", "junit"]) == 0
    written = tmp_path / "reports" / "latest"
    assert "**INVALID: the load plan" in (written / "report.md").read_text()
    assert 'class="verdict verdict-invalid"' in (written / "report.html").read_text()
    assert '<error message="INVALID: ' in (written / "junit.xml").read_text()
    capsys.readouterr()
    assert main(["--verdict", *where]) == 4
    assert capsys.readouterr().out.startswith(
        "INVALID: the load plan 'overload' goes beyond the maximum and has no open-loop stage"
    )


def test_an_overload_with_wrong_answers_is_invalid(run: Run) -> None:
    run.add(real(), stages=4, planned=PLANNED, wrong=(2,))
    report = run.report(load_plan="overload")
    assert report.verdict == "INVALID"
    assert "open-150%: answers: " in report.sentence


def test_an_overload_beside_a_judged_stage_leaves_the_verdict_to_that_one(run: Run) -> None:
    run.add(real(), stages=5, planned=[*PLANNED, open_stage(200.0, 5.0)])
    assert run.report(load_plan="both").verdict == "PASS"
