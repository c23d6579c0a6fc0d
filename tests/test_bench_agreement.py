"""bench.agreement's own parts: how two generators' latencies are judged, and how long a model may wait."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from bench.agreement import Seen, plan, show, theirs
from bench.generators.contenders import Rig
from bench.generators.question import Call, Question
from bench.generators.waiting import instances
from contract.errors import ServerError, UsageError
from contract.shapes import LoadPlan

PERCENTILES = "  p50 latency: 594 usec\n  p90 latency: 700 usec\n  p95 latency: 800 usec\n  p99 latency: 1200 usec\n"


def figures(*p50s: float, p99: float = 2.0) -> list[dict[str, float]]:
    """Rounds with these medians; their tails lie a tenth apart."""
    return [{"p50": p50, "p90": p50, "p99": p99 + number / 10} for number, p50 in enumerate(p50s)]


def perf_analyzer(folder: Path, says: str) -> Rig:
    """A rig whose perf_analyzer only says something."""
    file = folder / "perf_analyzer"
    file.write_text(f"#!{sys.executable}\nprint({says!r})\n")
    question = Question("words", 1, {"http": Call("127.0.0.1:1", "/infer", {}, "AAE=")}, {"tokens": [[1, 2]]}, 1)
    return Rig(question, folder / "question.json", folder, 2.0, folder)


def test_a_constant_difference_is_told_from_one_that_grows_with_the_work() -> None:
    short = Seen(service=figures(0.5, 0.6), peer=figures(0.6, 0.7)).judged()
    long = Seen(service=figures(5.5, 5.6), peer=figures(5.6, 5.7)).judged()
    assert short["p50_difference_us"] == long["p50_difference_us"] == {"median": -100.0, "min": -100.0, "max": -100.0}
    assert (short["p50_within"], long["p50_within"]) == (False, True)
    slow = Seen(service=figures(6.0, 6.1), peer=figures(5.4, 5.5)).judged()
    assert (slow["p50_ratio"], slow["p50_within"]) == (pytest.approx(6.05 / 5.45, abs=1e-4), False)


@pytest.mark.parametrize(("p99", "within"), [(2.0, True), (2.05, True), (2.2, False), (1.8, False)])
def test_a_tail_is_judged_by_what_the_others_own_rounds_differ_by(p99: float, within: bool) -> None:
    seen = Seen(service=figures(0.5, p99=p99), peer=figures(0.5, 0.5, p99=2.0)[:2])
    seen.service.append(dict(seen.service[0]))
    assert seen.judged()["p99_within"] is within


@pytest.mark.parametrize("number", [0, 1])
def test_a_round_in_which_one_of_them_fails_leaves_nothing_behind(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.agreement.ours", lambda rig, protocol: (figures(0.5)[0], figures(0.6)[0]))
    seen = Seen()
    with pytest.raises(ServerError, match="no percentiles"):
        seen.measure(perf_analyzer(tmp_path, "it was too slow"), "http", 300.0, number)
    assert seen == Seen()
    seen.measure(perf_analyzer(tmp_path, PERCENTILES), "http", 300.0, number)
    assert (len(seen.service), len(seen.latency), len(seen.peer)) == (1, 1, 1)


def test_each_work_is_shown_with_both_measures(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(service=figures(5.508), latency=figures(5.6), peer=figures(5.4))
    assert show(5.0, seen)["work_ms"] == 5.0
    said = capsys.readouterr().out
    assert "the model waits 5 ms" in said
    assert "p50 is 1.020x of perf_analyzer's, wanted 0.95 to 1.05: reached" in said
    assert "p50 less perf_analyzer's: 108 us (108 to 108)" in said
    show(None, seen)
    assert "the model as it is served" in capsys.readouterr().out


def test_perf_analyzers_percentiles_are_read_from_what_it_says(tmp_path: Path) -> None:
    rig = perf_analyzer(tmp_path, PERCENTILES)
    assert theirs(rig, "http", 300.0) == {"p50": 0.594, "p90": 0.7, "p99": 1.2}


def test_an_output_without_percentiles_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no percentiles"):
        theirs(perf_analyzer(tmp_path, "it was too slow"), "http", 300.0)


def test_the_plan_is_one_evenly_spread_open_stage() -> None:
    (stage,) = LoadPlan.model_validate(tomllib.loads(plan(300.0, 9.0))["plans"]["agreement"]).stages
    assert (stage.shape, stage.duration_s) == ("steady", 9.0)


@pytest.mark.parametrize(
    ("work_ms", "rate", "wanted"),
    [(0.0, 300.0, 1), (1.0, 300.0, 1), (5.0, 300.0, 3), (5.0, 100.0, 1), (10.0, 400.0, 8)],
)
def test_a_model_that_waits_has_so_many_instances_that_requests_do_not_wait_for_one_another(
    work_ms: float, rate: float, wanted: int
) -> None:
    assert instances(work_ms, rate) == wanted


@pytest.mark.parametrize(("work_ms", "rate"), [(-1.0, 300.0), (20.0, 300.0)])
def test_a_wait_that_cannot_be_is_refused_with_the_way_out(work_ms: float, rate: float) -> None:
    with pytest.raises(UsageError, match="or a lower --rate"):
        instances(work_ms, rate)
