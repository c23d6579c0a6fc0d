"""Our users in somebody's own Locust file: the real Locust, against servers with a known answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.endpoints import Protocol
from contract.files import write_bytes
from contract.records import answer_frame
from loadtest.certification.null_server import null_server
from serving.proof.payloads import folder_name, write_payloads
from tests.builders import examples, free_port, served, workspace
from tests.conftest import ROOT
from tests.known_latency import known_latency

pytestmark = [pytest.mark.e2e]

MINE = """
from locust import constant, task
from loadtest.users import TritonHttpUser

class Plain(TritonHttpUser):
    host = "{host}"
    payloads = "{payloads}"
    wait_time = constant(0.01)

class WithATask(Plain):
    @task
    def mine(self):
        assert self.infer(self.requests[0], name="mine").status == 200
"""


# A run ends by its requests and not by the clock: on a busy machine the first one may be seconds away.
ENOUGH = 40
END = f"""
import gevent
from locust import events

@events.init.add_listener
def end_after_enough(environment, **_):
    def look(**_):
        if environment.stats.total.num_requests == {ENOUGH}:
            gevent.spawn(environment.runner.quit)

    environment.events.request.add_listener(look)
"""
EACH = """
from locust import constant, task
from loadtest.users import {kind}

class Mine({kind}):
    host = "{host}"
    payloads = "{payloads}"
    wait_time = constant(0.01)

    @task
    def mine(self):
        reply = self.infer()
        assert (reply.body, reply.error) == ({body!r}, "")
"""
# class -> engine whose requests it sends, protocol
KINDS: dict[str, tuple[str, Protocol]] = {
    "TritonHttpUser": ("triton", "http"),
    "TritonGrpcUser": ("triton", "grpc"),
    "TFServingGrpcUser": ("tfserving", "grpc"),
    "TFServingRestUser": ("tfserving", "rest"),
}
FOREIGN = """
from loadtest.users import {kind}

class Mine({kind}):
    host = "models.example.com:443"
    payloads = "live/payloads/triton/words__onnx/http"
"""
BOUNDED = """
from loadtest.users import TritonHttpUser

class Mine(TritonHttpUser):
    host = "{host}"
    payloads = "{payloads}"
    {bound}
"""

LEAVE = """
from locust.env import Environment
from locust.exception import StopTest

for Mine.allowed_hosts, Mine.max_rps in (([], 5), (["models.example.com"], None), (["models.example.com"], 5)):
    try:
        print(Mine(Environment()).address)
    except StopTest as refused:
        print(refused)
"""


def locust(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Locust with a Locust file, without its page."""
    (folder / "mine.py").write_text(text)
    command = [sys.executable, "-m", "locust", "-f", str(folder / "mine.py"), "--headless", *words]
    return subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=60
    )


def shared_by(processes: int) -> list[str]:
    """The words that let so many load processes share a run, of which one alone is Locust itself."""
    port = str(free_port())
    words = ["--processes", str(processes), "--master-bind-port", port, "--master-port", port]
    return words if processes > 1 else []


def run(folder: Path, text: str) -> dict[str, dict[str, Any]]:
    """Run Locust with a Locust file; its final statistics by name."""
    words = ["--users", "2", "--json", "--spawn-rate", "100", "--exit-code-on-error", "0"]
    ended = locust(folder, text + END, *words)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr  # Locust goes on after what a task asserts
    return {row["name"]: row for row in json.loads(ended.stdout)}


def test_users_send_golden_requests_and_locust_counts_them(tmp_path: Path) -> None:
    with known_latency(tmp_path, 5.0) as known:
        payloads = tmp_path / "live/payloads/triton/words__onnx/http"
        rows = run(tmp_path, MINE.format(host=f"http://127.0.0.1:{known.port}", payloads=payloads))
        answered = len(known.ask("seen")["times"])
    assert rows.keys() == {"words__onnx", "mine"}
    counted = sum(row["num_requests"] for row in rows.values())
    assert counted >= ENOUGH
    assert 0 <= answered - counted <= 2  # Locust ends its two users in the middle of a request
    assert sum(row["num_failures"] for row in rows.values()) == 0
    assert 5.0 <= rows["mine"]["min_response_time"] < 30.0


def test_a_server_that_is_not_there_is_a_class_of_failure_and_no_exception(tmp_path: Path) -> None:
    with known_latency(tmp_path, 5.0):
        pass
    payloads = tmp_path / "live/payloads/triton/words__onnx/http"
    rows = run(tmp_path, MINE.format(host="127.0.0.1:1", payloads=payloads).split("class WithATask")[0])
    assert rows["words__onnx"]["num_failures"] == rows["words__onnx"]["num_requests"] >= ENOUGH


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_user_sends_the_requests_of_its_server_and_hands_out_the_answers(
    tmp_path: Path, kind: str
) -> None:
    engine, protocol = KINDS[kind]
    place = workspace(tmp_path)
    asked = served(place, engine=engine)
    write_payloads(asked, protocol, examples(), place.live)
    body = b"{" + bytes(range(32)) + b"}"
    answer = tmp_path / "answer.bin"
    write_bytes(answer, answer_frame(0, "r0000", {"Content-Type": "application/octet-stream"}, body))
    with null_server(protocol, answer, tmp_path / "null", [], "--delay-ms", "5") as server:
        payloads = place.live / folder_name(asked, protocol)
        rows = run(tmp_path, EACH.format(kind=kind, host=server.address, payloads=payloads, body=body))
    (row,) = rows.values()
    assert (row["name"], row["method"], row["num_failures"]) == (asked.name, protocol, 0)
    assert row["num_requests"] >= ENOUGH
    assert 0 <= len(server.seen()) - row["num_requests"] <= 2  # Locust ends its two users in the middle of a request
    assert row["min_response_time"] >= 4.0  # of a delay of 5 ms, whose timer may be a fraction early


@pytest.mark.parametrize("processes", [1, 2])
def test_users_load_no_host_beyond_this_machine_without_leave(tmp_path: Path, processes: int) -> None:
    """It has no payloads either: the run ends before anything is looked for, connected to or sent."""
    words = ["--users", "2", "--run-time", "300s", *shared_by(processes)]
    ended = locust(tmp_path, FOREIGN.format(kind="TFServingGrpcUser"), *words)
    assert ended.returncode == 2, ended.stderr
    assert "models.example.com:443 is beyond this machine" in ended.stderr
    assert 'say so with allowed_hosts = ["models.example.com"] in Mine' in ended.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_leave_is_asked_of_every_kind_of_user_and_given_in_its_class(kind: str) -> None:
    """In a process of its own, for importing Locust patches the sockets of whoever imports it."""
    made = FOREIGN.format(kind=kind) + LEAVE
    ended = subprocess.run([sys.executable, "-c", made], cwd=ROOT, capture_output=True, text=True, check=True)
    without, unbounded, given = ended.stdout.splitlines()
    assert "is beyond this machine" in without and "allowed_hosts" in without
    assert "models.example.com:443 is beyond this machine: say with max_rps = N in Mine" in unbounded
    assert given == "models.example.com:443"


@pytest.mark.parametrize("host", ["", "x", "127.0.0.1", "127.0.0.1:8000/v2", "me@127.0.0.1:8000"])
def test_a_user_without_payloads_or_port_says_what_it_needs(tmp_path: Path, host: str) -> None:
    text = f"from loadtest.users import TritonHttpUser\nclass Mine(TritonHttpUser):\n    host = {host!r}\n"
    payloads = "" if host == "" else "    payloads = 'live/payloads'\n"
    ended = locust(tmp_path, text + payloads, "--users", "1", "--run-time", "300s")
    assert ended.returncode == 2
    assert "Mine needs host" in ended.stderr


@pytest.mark.parametrize("processes", [1, 2])
def test_users_keep_below_their_ceiling_together(tmp_path: Path, processes: int) -> None:
    """Eight users without a wait time, each of whom would send 200 per second."""
    words = ["--users", "8", "--spawn-rate", "100", "--run-time", "4s", *shared_by(processes)]
    with known_latency(tmp_path, 5.0) as known:
        payloads = tmp_path / "live/payloads/triton/words__onnx/http"
        bound = "max_rps = 40"
        text = BOUNDED.format(host=f"127.0.0.1:{known.port}", payloads=payloads, bound=bound)
        ended = locust(tmp_path, text, *words)
        arrived = sorted(arrival for arrival, _ in known.ask("seen")["times"])
    assert ended.returncode == 0, ended.stderr
    assert len(arrived) > 20
    seconds = (arrived[-1] - arrived[0]) / 1e9
    assert len(arrived) <= 40 * (seconds + 0.5) + 8  # of a process that stood still, each user may have one on its way


@pytest.mark.parametrize("processes", [1, 2])
def test_a_host_that_fails_ends_the_run(tmp_path: Path, processes: int) -> None:
    with known_latency(tmp_path, 1.0) as known:
        payloads = tmp_path / "live/payloads/triton/words__onnx/http"
        known.ask("refuse/1")
        text = BOUNDED.format(host=f"127.0.0.1:{known.port}", payloads=payloads, bound="abort_error_rate = 0.5")
        words = ["--users", "4", "--spawn-rate", "100", "--run-time", "300s", *shared_by(processes)]
        ended = locust(tmp_path, text, *words)
        arrived = known.ask("seen")["times"]
    assert ended.returncode == 3, ended.stderr
    assert f"127.0.0.1:{known.port} fails too often (http 503, say): the run ends here" in ended.stderr
    assert 200 <= len(arrived) < 400 * processes  # those that each looks at, and what was on its way


@pytest.mark.parametrize(
    ("bound", "sentence"),
    [
        ("max_rps = 0", "max_rps is 0; it is a rate above 0"),
        ("abort_error_rate = 20", "abort_error_rate is 20; it is a share, from 0 to 1"),
        ("max_rps, settings = 5, TritonHttpUser.settings.model_copy(update={'retries': 1})", "set retries = 0 in Mine"),
    ],
)
def test_a_bound_that_is_none_is_refused(tmp_path: Path, bound: str, sentence: str) -> None:
    text = BOUNDED.format(host="127.0.0.1:1", payloads="live", bound=bound)
    ended = locust(tmp_path, text, "--users", "1", "--run-time", "300s")
    assert ended.returncode == 2
    assert sentence in ended.stderr
