"""A server that fails in every way it can, under the real load and report commands: counted by class, and shown.

Every fifth request meets a failure, each time the next kind. The server says itself how many met which, and the report
has to say the same of each stage, over HTTP and over gRPC; the run ends as every other does.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.endpoints import Protocol
from contract.files import read_model, write_json, write_text
from contract.records import Observation, read_records
from contract.verdict import Report, StageResult
from serving.proof.payloads import write_payloads
from tests.builders import endpoint, endpoints, examples, served, workspace
from tests.conftest import ROOT
from tests.failing_server import DROPPED, FAILURES, Answer, Failing, failing_server
from tests.known_latency import TOML
from tests.triton_answers import grpc_body, http_body

pytestmark = [pytest.mark.e2e]

BODIES = {"http": http_body, "grpc": grpc_body}
LIES = ("wrong values", "wrong shape")
# What the report calls each of the others.
CLASSES: dict[Protocol, dict[str, str]] = {
    "http": {"garbage": "malformed answer", "reset": "reset", "shed": "http 503", "silence": "timeout"},
    "grpc": {"garbage": "malformed answer", "reset": "reset", "shed": "grpc UNAVAILABLE", "silence": "timeout"},
}
# Every answer is kept and judged. Without a warm-up all that an open loop sends is in its window. A call has a
# connection for itself, because a reset or garbage fails whatever else is in flight there. A timeout is the server's
# silence and no moment in which this machine stood still.
LOAD = "answers = 100000\nwarmup_s = 0"
CLIENT = "\n[client]\ntimeout_s = 3.0\ncalls_per_channel = 1\n"


@dataclass(frozen=True)
class Counted:
    """One stage: as the report has it, and how often the server did what in it."""

    told: StageResult
    did: dict[str, int]
    before: Counter[str]  # by class: what users of a closed loop had already sent when its window began

    @property
    def lies(self) -> int:
        return sum(self.did[what] for what in LIES)


@dataclass(frozen=True)
class Ran:
    """What the commands left, and the server, which has counted."""

    server: Failing
    loaded: subprocess.CompletedProcess[str]
    reported: subprocess.CompletedProcess[str]
    results: Path
    reports: Path

    @property
    def report(self) -> Report:
        return read_model(self.reports / "report.json", Report, "make report")

    @property
    def records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_records(self.results, self.report.variants[0].id).to_pylist()
        return rows

    def stages(self) -> list[Counted]:
        seen = read_model(next(self.results.glob("server-stats-*.json")), Observation, "make loadtest").stages
        begun = [0, *(stage.window_start_ns for stage in seen[1:]), 1 << 63]  # an open loop sends nothing before
        return [
            Counted(
                told,
                {what: self.server.counted(what, begin, end) for what in ("right", *FAILURES)},
                Counter(
                    row["error"]
                    for row in self.records
                    if row["stage"] == stage.stage and row["intended_ns"] < stage.window_start_ns
                ),
            )
            for told, stage, (begin, end) in zip(self.report.variants[0].stages, seen, pairwise(begun), strict=True)
        ]


def command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words, "--workspace", str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module", params=["http", pytest.param("grpc", marks=pytest.mark.slow)])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    protocol: Protocol = request.param
    return run_against(protocol, tmp_path_factory.mktemp(protocol))


def run_against(protocol: Protocol, folder: Path, failures: tuple[str, ...] = FAILURES) -> Ran:
    """One run and its report, against a server that fails so."""
    place = workspace(folder)
    asked = examples()[0]
    write_payloads(served(place), protocol, [asked], place.live)
    right = asked.outputs["logits"]
    told = {"right": right, "wrong values": right + 1, "wrong shape": np.zeros((1, 3), np.float32)}
    answers = {what: Answer(*BODIES[protocol]({"logits": array})) for what, array in told.items()}
    with failing_server(protocol, answers, failures) as server:
        toml = TOML.format(concurrency=[4], closed_s=1.5, open_s=2.0, rate=200.0)
        write_text(place.root / "models.toml", toml.replace("warmup_s = 0.2", LOAD) + CLIENT)
        item = endpoint(
            protocol=protocol,
            address=f"127.0.0.1:{server.port}",
            engine_kind="embedded",
            stand_in_for="a real server",
        )
        write_json(place.endpoints, endpoints(item, servers=[]))
        loaded = command(place.root, "loadtest", "--uncertified", "--config", str(place.root / "models.toml"))
    reported = command(place.root, "report")
    return Ran(server, loaded, reported, (place.results / "latest").resolve(), place.reports / "latest")


def test_the_run_and_its_report_end_as_every_other(ran: Ran) -> None:
    assert (ran.loaded.returncode, ran.reported.returncode) == (0, 0), ran.loaded.stderr + ran.reported.stderr
    assert "Traceback" not in ran.loaded.stderr + ran.reported.stderr + (ran.results / "locust.log").read_text()
    assert ran.report.variants[0].complete
    assert ran.report.verdict == "INVALID"


def test_every_request_that_the_server_saw_is_recorded_once(ran: Ran) -> None:
    assert len(ran.records) == len(ran.server.did)
    for stage in ran.stages():
        assert stage.told.requests + stage.before.total() == sum(stage.did.values())


@pytest.mark.parametrize("failure", CLASSES["http"])
def test_a_failure_is_counted_by_its_class_as_often_as_the_server_did_it(ran: Ran, failure: str) -> None:
    name = CLASSES[ran.server.protocol][failure]
    for stage in ran.stages():
        assert stage.told.errors[name] > 0
        assert stage.told.errors[name] + stage.before[name] == stage.did[failure], stage.told.name


def test_nothing_else_is_counted_as_a_failure(ran: Ran) -> None:
    for stage in ran.stages():
        assert set(stage.told.errors) == set(CLASSES[ran.server.protocol].values())


def test_what_was_counted_as_a_failure_is_no_lost_connection_too(ran: Ran) -> None:
    seen = read_model(next(ran.results.glob("server-stats-*.json")), Observation, "make loadtest").stages
    assert [stage.reopened for stage in seen] == [0, 0]


def test_a_server_that_lies_about_its_model_is_found_out_as_often_as_it_did(ran: Ran) -> None:
    closed, opened = ran.stages()
    assert opened.told.wrong_answers == opened.lies > 0
    assert 0 <= closed.lies - closed.told.wrong_answers <= closed.before[""]  # those before the window are not judged
    for told in (closed.told, opened.told):
        assert told.answers_checked == told.requests - sum(told.errors.values())


def test_the_verdict_of_each_stage_says_why(ran: Ran) -> None:
    for told in (stage.told for stage in ran.stages()):
        assert not told.valid
        reasons = "; ".join(told.reasons)
        assert f"error rate: {sum(told.errors.values()) / told.requests:.2%} of the requests failed" in reasons
        assert f"answers: {told.wrong_answers} of {told.answers_checked} sampled answers differ" in reasons


def test_the_page_shows_every_class_with_its_number(ran: Ran) -> None:
    page = (ran.reports / "report.html").read_text()
    for told in (stage.told for stage in ran.stages()):
        line = page.partition(f"<h4>{told.name} ")[2].partition("</p>")[0]
        counted = line.partition("errors: ")[2]
        assert all(f"{name} {count:,}" in counted for name, count in told.errors.items()), line
        assert f"wrong answers: {told.wrong_answers} of {told.answers_checked}" in counted


def test_a_server_that_drops_kept_connections_fails_nothing_and_is_told_of(tmp_path: Path) -> None:
    ran = run_against("http", tmp_path, (DROPPED,))
    for stage in ran.report.variants[0].stages:
        assert stage.errors == {}
    seen = read_model(next(ran.results.glob("server-stats-*.json")), Observation, "make loadtest").stages
    dropped = ran.server.counted(DROPPED, seen[1].window_start_ns)  # an open loop sends nothing before its window
    assert dropped > 1
    told = f"{dropped:,} requests found their kept connection closed or reset by the server"
    assert told in "; ".join(ran.report.variants[0].stages[1].notes)
    assert told in (ran.reports / "report.html").read_text()
