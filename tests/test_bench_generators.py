"""The clients that bench.load drives by themselves, as real processes, against a server that answers at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.generators.closed import closed
from bench.generators.contenders import CONTENDERS
from bench.generators.geventhttpclient import user
from bench.generators.question import Call, Question
from bench.generators.rig import Rig
from bench.load import null_server
from contract.errors import ServerError


class _Answers(BaseHTTPRequestHandler):
    """What it was asked, and 503 where the path says so."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@pytest.fixture
def address() -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def call(address: str, target: str) -> Call:
    return Call(address, target, {"X-Word": "yes"}, "AAE=")


def test_a_closed_loop_counts_what_was_answered_in_its_window_and_not_in_its_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings, cpu, answered = count(), count(step=3), list[int]()
    clocks = SimpleNamespace(perf_counter=lambda: next(readings), process_time=lambda: next(cpu))
    monkeypatch.setattr("bench.generators.closed.time", clocks)  # each look at the clock is a second, or 3 of CPU
    found = closed([lambda: answered.append(1)], 10.0)
    assert len(answered) == 1 + 9  # 2 s of warm-up, 10 s of window, less the look that ends each
    assert found == {"rps": 9 / 11, "rps_per_core": 9 / 3}


def test_an_answer_that_is_none_ends_the_window(address: str) -> None:
    with pytest.raises(RuntimeError, match=r"503 b'\\x00\\x01'"):
        closed([user(call(address, "/busy"))], 5.0)


@pytest.mark.parametrize("name", ["geventhttpclient", "http-null", "http-null-frozen"])
def test_each_client_tells_its_figures(name: str, address: str, tmp_path: Path) -> None:
    with null_server(call(address, "/infer"), tmp_path) as null:
        question = Question("words", 1, {"http": null, "http-null": null}, {"tokens": [[1, 2]]}, 2)
        question.write(tmp_path / "question.json")
        figure = CONTENDERS[name].run(Rig(question, tmp_path / "question.json", tmp_path, 1.0, None))
    assert figure.rps > 0 and figure.rps_per_core is not None and figure.rps_per_core > 0


def test_a_client_whose_server_is_gone_is_told_with_its_last_words(tmp_path: Path) -> None:
    question = Question("words", 1, {"http": call("127.0.0.1:1", "/infer")}, {"tokens": [[1, 2]]}, 2)
    question.write(tmp_path / "question.json")
    with pytest.raises(ServerError, match=r"ended with 1: (.|\n)*refused"):
        CONTENDERS["geventhttpclient"].run(Rig(question, tmp_path / "question.json", tmp_path, 0.2, None))
