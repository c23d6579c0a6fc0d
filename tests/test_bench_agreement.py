"""bench.agreement's own parts: how two generators' latencies are judged, and how long a model may wait."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.agreeing import LESS, Seen, parts, show
from bench.agreement import main, measure, plan, theirs
from bench.generators.question import Call, Question
from bench.generators.rig import Rig
from bench.generators.sight import Sight
from bench.generators.waiting import instances
from bench.generators.wire import Wire
from contract.errors import ServerError, UsageError
from contract.shapes import LoadPlan

SAID = (
    "    Avg latency: 650 usec (standard deviation 452 usec)\n"
    "    p50 latency: 594 usec\n    p90 latency: 700 usec\n    p99 latency: 1200 usec\n"
    "    Avg HTTP time: 640 usec (send/recv 40 usec + response wait 600 usec)\n"
)


def sights(*p50s: float, p99: float = 2.0, server_us: float | None = 100.0) -> list[Sight]:
    """Rounds with these medians, which are the means too; their tails lie a tenth apart."""
    found = []
    for number, p50 in enumerate(p50s):
        shown = {"p50": p50, "p90": p50, "p99": p99 + number / 10}
        found.append(Sight(shown, p50 * 1e3, p50 * 1e3 - 5, 5.0, server_us, intended=shown))
    return found


def perf_analyzer(folder: Path, says: str) -> Rig:
    """A rig whose perf_analyzer only says something."""
    file = folder / "perf_analyzer"
    file.write_text(f"#!{sys.executable}\nprint({says!r})\n")
    question = Question("words", 1, {"http": Call("127.0.0.1:1", "/infer", {}, "AAE=")}, {"tokens": [[1, 2]]}, 1)
    return Rig(question, folder / "question.json", folder, 2.0, folder)


def test_a_constant_difference_is_told_from_one_that_grows_with_the_work() -> None:
    short = Seen(ours=sights(0.5, 0.6), peer=sights(0.6, 0.7)).judged()
    long = Seen(ours=sights(5.5, 5.6), peer=sights(5.6, 5.7)).judged()
    assert short["p50_difference_us"] == long["p50_difference_us"] == {"median": -100.0, "min": -100.0, "max": -100.0}
    assert (short["p50_within"], long["p50_within"]) == (False, True)
    slow = Seen(ours=sights(6.0, 6.1), peer=sights(5.4, 5.5)).judged()
    assert (slow["p50_ratio"], slow["p50_within"]) == (pytest.approx(6.05 / 5.45, abs=1e-4), False)


@pytest.mark.parametrize(("p99", "within"), [(2.0, True), (2.05, True), (2.2, False), (1.8, False)])
def test_a_tail_is_judged_by_what_the_others_own_rounds_differ_by(p99: float, within: bool) -> None:
    seen = Seen(ours=sights(0.5, p99=p99), peer=sights(0.5, 0.5, p99=2.0)[:2])
    seen.ours.append(seen.ours[0])
    assert seen.judged()["p99_within"] is within


@pytest.mark.parametrize("number", [0, 1])
def test_a_round_in_which_one_of_them_fails_leaves_nothing_behind(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.agreement.ours", lambda rig, protocol: sights(0.5)[0])
    seen = Seen()
    with pytest.raises(ServerError, match="no percentiles"):
        measure(seen, perf_analyzer(tmp_path, "it was too slow"), "http", 300.0, number)
    assert seen == Seen()
    measure(seen, perf_analyzer(tmp_path, SAID), "http", 300.0, number)
    assert (len(seen.ours), len(seen.peer)) == (1, 1)


def test_each_work_is_shown_with_both_measures(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(sights(5.508), sights(5.4))
    assert show(5.0, seen)["work_ms"] == 5.0
    said = capsys.readouterr().out
    assert "the model waits 5 ms" in said
    assert "p50 is 1.020x of perf_analyzer's, wanted 0.95 to 1.05: reached" in said
    assert "p50 less perf_analyzer's: 108 us (108 to 108)" in said
    show(None, seen)
    assert "the model as it is served" in capsys.readouterr().out


def test_a_difference_of_the_server_is_told_from_one_of_the_clients() -> None:
    table = parts(Seen(sights(0.5, 0.6, server_us=100.0), sights(0.55, 0.65, server_us=130.0)))
    less = {name: sides[LESS].median for name, sides in table.items()}
    assert less == {
        "mean latency": pytest.approx(-50),
        "mean response wait, as it counts it": pytest.approx(-50),
        "mean transfer, as it counts it": 0,
        "mean in Triton, queue and compute": pytest.approx(-30),
        "mean rest: client, wire, front end": pytest.approx(-20),
    }


def test_what_went_over_the_wire_tells_the_server_from_the_clients(capsys: pytest.CaptureFixture[str]) -> None:
    own = replace(sights(0.5)[0], wire=Wire(900, 1.0, 0.0, 440.0))
    other = replace(sights(0.55)[0], wire=Wire(1000, 2.0, 20.0, 440.0))
    less = {name: sides[LESS].median for name, sides in parts(Seen([own], [other])).items()}
    assert less["median on the wire, the request"] == -20
    assert less["median on the wire, until the answer"] == 0
    assert less["p50 less both: the client"] == pytest.approx(-30)
    assert show(None, Seen([own], [other]))["packets"] == {"ours": 1.0, "perf_analyzer": 2.0}
    assert "packets of a request: ours 1, perf_analyzer 2" in capsys.readouterr().out
    assert show(None, Seen([own], sights(0.55)))["packets"] == {}


def test_a_part_that_one_of_them_does_not_have_is_not_compared() -> None:
    table = parts(Seen(sights(0.5), sights(0.55, server_us=None)))
    assert list(table) == ["mean latency", "mean response wait, as it counts it", "mean transfer, as it counts it"]


def test_perf_analyzers_figures_are_read_from_what_it_says(tmp_path: Path) -> None:
    sight = theirs(perf_analyzer(tmp_path, SAID), "http", 300.0)
    assert sight == Sight({"p50": 0.594, "p90": 0.7, "p99": 1.2}, 650.0, 600.0, 40.0, None)


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


def test_a_wire_that_nobody_can_read_is_refused_before_anything_is_started() -> None:
    with pytest.raises(UsageError, match="--wire knows where a request begins over HTTP alone"):
        main(["--wire", "--protocol", "grpc"])
