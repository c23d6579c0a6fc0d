"""bench.serving's own parts: rounds, ratios, the client's HTTP, and that nothing outlives a guard."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.peers import contenders, environments, figures, protocols
from bench.peers.over_http import Malformed, drive, parse, request_bytes
from bench.peers.running import Running
from bench.peers.window import Load, headers_of
from bench.preparing import one_model, prepare
from bench.serving import insist
from contract.config import read_config
from contract.errors import LoadproofError, ServerError, UsageError
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from tests.builders import write_artifacts

ROOT = Path(__file__).parents[1]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"


def test_each_round_begins_with_another_and_leaves_nobody_out() -> None:
    names = ["a", "b", "c"]
    orders = [figures.rotated(names, number) for number in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    assert figures.rotated([], 2) == []


def test_ratios_are_of_one_round_and_stand_beside_what_is_wanted() -> None:
    rates = {
        "loadproof/http": {64: {0: 200.0, 1: 100.0, 2: 300.0}, 1: {0: 10.0}},
        "mosec/msgpack": {64: {0: 100.0, 1: 200.0}, 1: {0: 20.0}},
    }
    versus = {"mosec/msgpack": ["loadproof/http"], "absent/json": ["loadproof/http"]}
    one, many = figures.ratios(rates, versus, (1, 64))
    assert (one.users, one.spread.median, one.wanted, one.reached) == (1, 0.5, None, None)
    assert (many.spread.least, many.spread.median, many.spread.most) == (0.5, 1.25, 2.0)
    assert many.wanted == 0.8 and many.reached is True
    assert "wanted at least 0.8x: reached" in figures.judged(many)
    assert "wanted" not in figures.judged(one)
    assert figures.wanted("empty/http", "mosec/msgpack", 64) is None
    missed = figures.Ratio(16, "loadproof/http", "fastapi/json", figures.spread([1.2]), 1.3)
    assert figures.judged(missed).endswith("wanted at least 1.3x: MISSED")


def test_every_peer_has_a_server_pinned_requirements_and_a_row_of_ours_beside_it() -> None:
    assert {peer for wanted in figures.WANTED.values() for peer in wanted} <= set(contenders.PEERS)
    for name, peer in contenders.PEERS.items():
        assert (environments.HERE / name / "server.py").is_file()
        lines = [line for line in environments.requirements(name).read_text().splitlines() if line[:1] != "#"]
        assert lines and all("==" in line for line in lines)
        assert environments.version(name, peer.package)[0].isdigit()
    assert contenders.compared_with("pytriton/grpc") == ["loadproof/grpc"]
    assert contenders.compared_with("litserve/json") == ["loadproof/http"]
    assert contenders.compared_with("mosec/msgpack") == ["loadproof/http", "loadproof/grpc", "empty/http", "empty/grpc"]


def test_one_model_is_left_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(one_model(ROOT / "models.toml", "sentiment_torch"))
    config = read_config(tmp_path / "models.toml")
    assert list(config.models) == ["sentiment_torch"]
    left, whole = config.models["sentiment_torch"], read_config(ROOT / "models.toml").models["sentiment_torch"]
    assert (left.formats, left.serve) == (["onnx"], ["onnx"])
    assert (left.inputs, left.padding, left.slo) == (whole.inputs, whole.padding, whole.slo)


def test_a_model_that_is_not_configured_or_not_exported_is_named_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no model 'sentiment_torsh'; did you mean 'sentiment_torch'"):
        one_model(ROOT / "models.toml", "sentiment_torsh")
    given = Workspace(tmp_path / "given")
    write_artifacts(given, "sentiment_torch", formats=["torchscript"], failed={"onnx": "failed: it is too odd"})
    with pytest.raises(LoadproofError, match="the onnx export of sentiment_torch is failed: it is too odd"):
        prepare(ROOT / "models.toml", given.root, tmp_path / "own")


def test_a_model_that_the_peers_servers_are_not_written_for_is_refused(tmp_path: Path) -> None:
    manifest = write_artifacts(Workspace(tmp_path))
    insist("words", manifest)
    pixels = TensorSpec(name="pixels", dtype="float32", dims=["batch", 28, 28, 1])
    with pytest.raises(UsageError, match=r"digits has .*'pixels'.*bench.backends measures any model"):
        insist("digits", manifest.model_copy(update={"inputs": [pixels]}))


def test_an_answer_is_taken_when_it_is_whole_and_not_before() -> None:
    assert all(parse(ANSWER[:size]) is None for size in range(len(ANSWER)))
    parsed = parse(ANSWER + b"HTTP/1.1 500")
    assert parsed is not None
    status, head, body, used = parsed
    assert (status, body, used) == (200, b"hello", len(ANSWER))
    assert headers_of(head) == {"content-type": "text/plain", "content-length": "5"}


def test_chunks_are_joined() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n"
    assert all(parse(answer[:size]) is None for size in range(len(answer)))
    parsed = parse(answer)
    assert parsed is not None and parsed[2:] == (b"hello", len(answer))


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nbody"])
def test_what_is_no_answer_or_has_no_end_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


class _Echo(BaseHTTPRequestHandler):
    """Answers what it is sent, in two pieces, and every tenth request with an error."""

    protocol_version = "HTTP/1.1"
    count = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).count += 1
        self.send_response(503 if type(self).count % 10 == 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Asked", str(self.headers["X-Word"]))
        self.end_headers()
        self.wfile.write(body[:3])
        self.wfile.flush()
        self.wfile.write(body[3:])

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves at the end of its window is nothing to tell of."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_client_counts_right_answers_and_errors_and_keeps_samples(echo: str) -> None:
    body = base64.b64encode(b"a question").decode()
    load = Load("http", echo, "/there", {"X-Word": "yes"}, body, users=4, warm_s=0.1, window_s=0.4)
    assert request_bytes(load).startswith(b"POST /there HTTP/1.1\r\nHost: 127.0.0.1")
    window = drive(load)
    assert window.answers > 20 and 0 < window.errors < window.answers
    assert "503" in window.first_error
    assert 0.4 <= window.seconds < 2 and window.cpu > 0
    assert 0 < window.p50_ms <= window.p99_ms
    headers, kept = window.kept[0]
    assert base64.b64decode(kept) == b"a question" and headers["x-asked"] == "yes"


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        (protocols.json_rows("/p"), json.dumps({"logits": [[1.5, -2.0]]}).encode()),
        (protocols.json_rows("/p"), json.dumps([[1.5, -2.0]]).encode()),
        (
            protocols.json_v2("/p"),
            json.dumps({"outputs": [{"name": "logits", "shape": [1, 2], "data": [1.5, -2.0]}]}).encode(),
        ),
        (protocols.bare_bytes("/p"), np.array([1.5, -2.0], np.float32).tobytes()),
    ],
)
def test_answers_become_tensors(protocol: protocols.Protocol, answer: bytes) -> None:
    tokens = np.array([[1, 2, 3]], dtype=np.int64)
    assert protocol.encode({"tokens": tokens}).body
    logits = protocol.decode(answer, {})["logits"]
    assert logits.dtype == np.float32 and logits.tolist() == [[1.5, -2.0]]


LEAVES_ONE_BEHIND = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_nothing_outlives_its_guard_not_even_what_left_the_session(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Running("sleeper", [sys.executable, "-c", LEAVES_ONE_BEHIND], {}, tmp_path, log) as server:
        server.wait(lambda: "" if log.is_file() and log.read_text().endswith("\n") else "it says nothing", 20)
        left = psutil.Process(int(log.read_text()))
        assert left.is_running()
    deadline = time.monotonic() + 5
    while left.is_running() and left.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_dies_is_named_with_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        Running("peer", command, {}, tmp_path, tmp_path / "log") as server,
        pytest.raises(ServerError, match=r"peer died while starting(.|\n)*no such model"),
    ):
        server.wait(lambda: "not yet", 20)
