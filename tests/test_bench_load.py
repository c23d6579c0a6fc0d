"""bench.load's own parts: its table, its ratios, how the others' figures are read, and who is absent."""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.generators.contenders import CONTENDERS, WANTED, WANTED_PER_CORE, Figure
from bench.generators.load import plan
from bench.generators.question import Call, Question, read
from bench.generators.rig import Rig
from bench.load import document, per_core, ratios, show
from contract.errors import ServerError
from contract.files import write_json
from contract.shapes import Closed, LoadPlan
from loadtest.__main__ import _parser
from tests.builders import endpoint, endpoints

QUESTION = Question("words", 1, {"http": Call("127.0.0.1:1", "/infer", {"A": "b"}, "AAE=")}, {"tokens": [[1, 2]]}, 16)


def rig(folder: Path, perf_analyzer: Path | None = None) -> Rig:
    return Rig(QUESTION, folder / "question.json", folder, 2.0, perf_analyzer)


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    """A generator that only says something."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\nprint({says!r})\nraise SystemExit({code})\n")
    file.chmod(0o755)


def test_a_question_is_read_as_it_was_written(tmp_path: Path) -> None:
    QUESTION.write(tmp_path / "question.json")
    assert read(tmp_path / "question.json") == QUESTION
    assert QUESTION.calls["http"].data == b"\0\1"


def test_only_rounds_in_which_both_were_measured_are_compared() -> None:
    figures = {
        "http": {0: Figure(200.0), 1: Figure(300.0), 2: Figure(1.0)},
        "wrk": {0: Figure(100.0), 1: Figure(600.0)},
    }
    (ratio,) = ratios(figures)
    assert (ratio.ours, ratio.peer, ratio.spread.least, ratio.spread.most) == ("http", "wrk", 0.5, 2.0)
    assert ratio.reached is True


def test_what_a_core_carries_is_shown_of_those_who_tell() -> None:
    cores = per_core({"http": {0: Figure(1.0, 10.0), 1: Figure(1.0, 30.0)}, "wrk": {0: Figure(5.0)}})
    assert {name: value.median for name, value in cores.items()} == {"http": 20.0}


def test_every_comparison_is_between_contenders_of_the_table() -> None:
    assert {name for ours, theirs, _ in WANTED for name in (ours, theirs)} | set(WANTED_PER_CORE) <= set(CONTENDERS)


@pytest.mark.parametrize(("name", "processes"), [("load-http", None), ("load-http-2", 2)])
def test_the_load_command_is_run_with_the_processes_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, processes: int | None
) -> None:
    typed: list[list[str]] = []

    def only_typed(command: list[str], _: Rig) -> str:
        typed.append(command)
        raise ServerError("nothing is up")

    monkeypatch.setattr("bench.generators.contenders.output_of", only_typed)
    item = endpoint(protocol="http")
    write_json(tmp_path / "live" / "endpoints.json", endpoints(item, servers=[]))
    with pytest.raises(ServerError, match="nothing is up"):
        CONTENDERS[name].run(rig(tmp_path))
    ((_, *command),) = typed
    assert command[:2] == ["-m", "loadtest"]
    options = _parser().parse_args(command[2:])
    assert options.processes == processes and options.variant == [item.id]


def test_the_plan_of_the_load_command_is_one_closed_stage() -> None:
    (stage,) = LoadPlan.model_validate(tomllib.loads(plan(16, 3.0))["plans"]["bench"]).stages
    assert isinstance(stage, Closed)
    assert (stage.users, stage.duration_s) == (16, 3.0)


def test_the_others_figures_are_read_from_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "wrk", "  2000 requests in 2.0s\nRequests/sec:  13769.12\nTransfer/sec: 1MB")
    program(tmp_path, "perf_analyzer", "Concurrency: 16, throughput: 7833.5 infer/sec, latency 2047 usec")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert CONTENDERS["wrk"].run(rig(tmp_path)).rps == 13769.12
    with_grpc = Question(**{**vars(QUESTION), "calls": {"grpc": QUESTION.calls["http"]}})
    other = Rig(with_grpc, tmp_path / "question.json", tmp_path, 2.0, tmp_path)
    assert CONTENDERS["perf_analyzer-grpc"].run(other).rps == 7833.5


def test_each_peer_is_told_what_its_row_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed: list[list[str]] = []

    def only_typed(command: list[str], _: Rig, __: object = None) -> str:
        typed.append(command)
        return "Requests/sec: 1\nthroughput: 1 infer/sec"

    for module in ("contenders", "perf_analyzer"):
        monkeypatch.setattr(f"bench.generators.{module}.output_of", only_typed)
    program(tmp_path, "perf_analyzer", "")
    call = QUESTION.calls["http"]
    calls = {"http-null": replace(call, address="127.0.0.1:2"), "grpc": replace(call, address="127.0.0.1:3")}
    peers = replace(rig(tmp_path, tmp_path), question=replace(QUESTION, calls=calls))
    for name in ("wrk-null", "perf_analyzer-grpc", "perf_analyzer-grpc-async"):
        CONTENDERS[name].run(peers)
    null, synchronous, asynchronous = typed
    assert null[-1] == "http://127.0.0.1:2/infer"
    assert "-a" in asynchronous and "-a" not in synchronous
    assert "127.0.0.1:3" in asynchronous and asynchronous[asynchronous.index("-i") + 1] == "grpc"


def test_every_figure_is_in_the_table_and_in_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["http", "http-null", "grpc", "wrk", "wrk-null", "perf_analyzer-grpc-async"]
    figures = {name: {0: Figure(1000.0 + number)} for number, name in enumerate(names)}
    compared, cores = ratios(figures), per_core(figures)
    show(figures, compared, cores, {"perf_analyzer-http": "get it"})
    said = capsys.readouterr().out.splitlines()
    for number, name in enumerate(names):
        assert any(line.startswith(f"{name} ") and f" {1000 + number} (" in line for line in said)
    assert "perf_analyzer-http is absent: get it" in said
    written = document(figures, compared, cores, rounds=1)
    assert list(written["rps"]) == names
    pairs = {(ratio["ours"], ratio["peer"]) for ratio in written["ratios"]}
    assert pairs == {("http", "wrk"), ("http-null", "wrk-null"), ("grpc", "perf_analyzer-grpc-async")}


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        ("Requests/sec: 10\nNon-2xx or 3xx responses: 7", 0, "failures"),
        ("Requests/sec: 10\nSocket errors: connect 3", 0, "failures"),
        ("unable to connect", 1, "wrk ended with 1: unable to connect"),
        ("nothing that anybody understands", 0, "has no figure"),
    ],
)
def test_a_figure_that_hides_failures_is_none(
    says: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "wrk", says, code)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ServerError, match=words):
        CONTENDERS["wrk"].run(rig(tmp_path))


def test_who_is_absent_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert CONTENDERS["wrk"].absent(rig(tmp_path)) == "apt-get install wrk"
    assert "tritonclient==2.44.0" in CONTENDERS["perf_analyzer-http"].absent(rig(tmp_path))
    assert "--perf-analyzer" in CONTENDERS["perf_analyzer-http"].absent(rig(tmp_path, tmp_path))
