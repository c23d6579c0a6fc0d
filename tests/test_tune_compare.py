"""python -m tune compare: two runs on disk become an exit code, a table, Markdown and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from contract.slo import Slo
from report.__main__ import main as report
from tests import report_samples as samples
from tests.builders import MACHINE, endpoint
from tests.measured_runs import write_run
from tune.comparison.command import main
from tune.comparison.pairing import pair_up
from tune.comparison.runs import read_run

ROOT = Path(__file__).parents[1]
STEADY = (1.0, 1.02, 0.99, 1.01, 0.98)
SLOWER = tuple(1.15 * factor for factor in STEADY)


def compared(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON document of a comparison."""
    code = main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {f"{item['stage']} {item['figure']}": item["outcome"] for item in document["figures"]}


def test_a_slower_run_is_a_regression_in_every_figure_and_exits_with_1(tmp_path: Path) -> None:
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", SLOWER)
    command = [sys.executable, "-m", "tune", "compare", str(base), str(new)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.splitlines()[-1] == "REGRESSION: words__onnx__triton__http is slower than before."
    assert ended.stdout.count("✗") == 3


@pytest.mark.parametrize("form", [[], ["--markdown"]])
def test_it_says_why_a_report_has_other_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    main([str(write_run(tmp_path / "a", STEADY)), str(write_run(tmp_path / "b", STEADY)), *form])
    assert "geometric means over these; a report pools their requests" in " ".join(capsys.readouterr().out.split())


def test_a_run_as_fast_as_before_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", STEADY[::-1])
    code, document = compared(capsys, base, new)
    assert (code, document["regression"], document["replications"]) == (0, False, ["rounds"])
    assert set(outcomes(document).values()) == {"no difference"}
    assert document["sentence"].startswith("No regression in 3 figures of 1 variant; up to ")


def test_a_pass_says_how_much_it_may_have_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    restless = (1.0, 1.1, 0.95, 1.05, 0.9)
    base, new = write_run(tmp_path / "a", restless), write_run(tmp_path / "b", restless[::-1])
    _, document = compared(capsys, base, new)
    (p99,) = [item for item in document["figures"] if item["figure"] == "p99"]
    assert p99["hidden"] == p99["change"]["high"] > 0.1
    (closed,) = [item for item in document["figures"] if item["figure"] == "throughput"]
    assert closed["hidden"] == -closed["change"]["low"]


def test_a_faster_run_is_an_improvement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = compared(capsys, write_run(tmp_path / "a", SLOWER), write_run(tmp_path / "b", STEADY))
    assert (code, set(outcomes(document).values())) == (0, {"improvement"})


def test_the_change_is_that_of_the_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, document = compared(capsys, write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", SLOWER))
    (p99,) = [item for item in document["figures"] if item["figure"] == "p99"]
    assert p99["change"]["estimate"] == pytest.approx(0.15, rel=1e-3)
    assert p99["base"] == pytest.approx([10.98 * factor for factor in STEADY], rel=1e-3)
    assert p99["change"]["low"] < 0.15 < p99["change"]["high"]


def test_a_minimum_effect_above_the_slowdown_lets_it_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", SLOWER)
    assert compared(capsys, base, new, "--min-effect", "20%")[0] == 0


def test_two_short_rounds_cannot_be_judged(tmp_path: Path) -> None:
    base, new = write_run(tmp_path / "a", STEADY[:2]), write_run(tmp_path / "b", SLOWER[:2])
    with pytest.raises(UsageError, match=r"nothing could be judged of words.*rounds = 5"):
        main([str(base), str(new)])


def test_one_long_round_is_judged_by_blocks_of_time_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write_run(tmp_path / "a", STEADY[:1], per_round=6000)
    new = write_run(tmp_path / "b", [1.2], per_round=6000)
    code, document = compared(capsys, base, new)
    assert (code, document["replications"][0]) == (1, "blocks of time")
    assert outcomes(document)["open-1200 p99"] == "regression"


def test_a_stage_that_is_invalid_in_the_newer_run_cannot_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", STEADY, errors=900)
    _, document = compared(capsys, base, new)
    reasons = {item["figure"]: item["reason"] for item in document["figures"]}
    assert outcomes(document)["open-200 p99"] == "not judged"
    assert "b: " in reasons["p99"] and "error" in reasons["p99"]


def test_stages_that_were_planned_otherwise_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", STEADY)
    file = new / "plan.json"
    file.write_text(file.read_text().replace('"in_flight": 64', '"in_flight": 32'))
    _, document = compared(capsys, base, new)
    (p99,) = [item for item in document["figures"] if item["figure"] == "p99"]
    assert p99["outcome"] == "not judged"
    assert p99["reason"] == "the stages were not planned alike: in_flight 64 -> 32"


def test_runs_of_different_machines_are_compared_on_demand_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = MACHINE.model_copy(update={"cores": 64})
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", STEADY, machine=other)
    with pytest.raises(UsageError, match=r"different machines .* 2 cores; .* 64 cores.*--any-machine"):
        main([str(base), str(new)])
    code, document = compared(capsys, base, new, "--any-machine")
    assert code == 0 and "another machine" in document["warnings"][0]


def test_of_two_runs_the_wider_margin_counts_and_of_more_their_own_scatter_alone(tmp_path: Path) -> None:
    noise = samples.report().noise
    wider = noise.model_copy(update={"p99_high": 0.3, "p50_low": -0.01, "p50_high": 0.02})
    base, new, more = (
        replace(run, report=run.report.model_copy(update={"noise": left}))
        for name, left in (("a", noise), ("b", wider), ("c", wider))
        for run in (read_run(write_run(tmp_path / name, STEADY)),)
    )
    two, several = pair_up([base], [new]).pairs, pair_up([base], [new, more]).pairs
    assert {pair.figure: pair.noise for pair in two} == {"p50": 0.041, "p99": 0.3, "throughput": 0.0}
    assert {pair.noise for pair in several} == {0.0}


def test_runs_without_a_common_variant_cannot_be_compared(tmp_path: Path) -> None:
    base = write_run(tmp_path / "a", STEADY)
    new = write_run(tmp_path / "b", STEADY, items=[endpoint(model="digits", slo=Slo(rate=200))])
    with pytest.raises(UsageError, match="no variant in common"):
        main([str(base), str(new)])


def test_a_variant_of_one_side_only_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [endpoint(slo=Slo(rate=200)), endpoint(model="digits", slo=Slo(rate=200))]
    base, new = write_run(tmp_path / "a", STEADY, items=both), write_run(tmp_path / "b", STEADY, items=both[:1])
    code, document = compared(capsys, base, new)
    assert code == 0 and "b did not measure digits__onnx__triton__http." in document["warnings"]


def test_five_runs_on_each_side_are_replications_even_as_reports_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = {"a": STEADY, "b": SLOWER}
    files = {}
    for side, factors in sides.items():
        runs = [write_run(tmp_path / f"{side}{turn}", [factor]) for turn, factor in enumerate(factors)]
        report([*map(str, runs), "--workspace", str(tmp_path), "--only", "json"])
        files[side] = [tmp_path / "reports" / run.name / "report.json" for run in runs]
    capsys.readouterr()
    more: list[str | Path] = ["--more-base", *files["a"][1:], "--more-new", *files["b"][1:]]
    code, document = compared(capsys, files["a"][0], files["b"][0], *more)
    assert (code, document["replications"]) == (1, ["runs"])
    assert outcomes(document)["open-200 p99"] == "regression"


def test_one_report_on_each_side_is_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, STEADY) for name in "ab"]
    report([*map(str, runs), "--workspace", str(tmp_path), "--only", "json"])
    with pytest.raises(UsageError, match="--more-base"):
        main([str(tmp_path / "reports" / name) for name in "ab"])
    assert "1 against 1 replications" in capsys.readouterr().out


def test_a_pull_request_gets_the_verdict_first_and_one_row_per_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = write_run(tmp_path / "a", STEADY), write_run(tmp_path / "b", SLOWER)
    assert main([str(base), str(new), "--markdown"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("**REGRESSION: ")
    assert sum(line.startswith("| ✗") for line in lines) == 3


@pytest.mark.parametrize("wrong", ["five", "-1", "120%"])
def test_a_minimum_effect_that_is_no_share_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["a", "b", f"--min-effect={wrong}"])
    assert wrong in capsys.readouterr().err


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", STEADY)
    with pytest.raises(UsageError, match="named twice"):
        main([str(run), str(run)])


def test_what_is_no_run_is_refused_with_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no run: name a folder of results.*report\.json"):
        main([str(tmp_path / "nowhere"), str(tmp_path / "either")])
