"""Ready means that the answers are right: the probe against a small HTTP server whose answers are known."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.batching import Batching
from contract.codecs.triton_http import LENGTH_HEADER
from contract.endpoints import PayloadIndex
from contract.errors import ServerError
from contract.golden import Example
from contract.tensors import Tensors, from_bytes, to_bytes
from serving.layout.repository import Served
from serving.proof.payloads import write_payloads
from serving.proof.probe import Probed, batch_limit, probe
from serving.proof.rechecking import FEW, recheck
from serving.rolling.version import Version
from tests.builders import answer_of, endpoint, examples, free_port, model, served, workspace

Answer = Callable[[Tensors], tuple[int, dict[str, str], bytes]]


def encoded(tensors: Tensors, **changes: Any) -> tuple[int, dict[str, str], bytes]:
    """An answer of Triton's HTTP protocol."""
    outputs = [
        {
            "name": name,
            "datatype": {"float32": "FP32", "float64": "FP64"}[array.dtype.name],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in tensors.items()
    ]
    header = json.dumps({"outputs": outputs} | changes).encode()
    body = header + b"".join(to_bytes(array) for array in tensors.values())
    return 200, {LENGTH_HEADER: str(len(header))}, body


def right(inputs: Tensors) -> tuple[int, dict[str, str], bytes]:
    return encoded(answer_of(inputs["tokens"]))


class Handler(BaseHTTPRequestHandler):
    """Decodes the request and answers with the server's ``answer``."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one piece, so that nothing waits for an acknowledgement
    server: Triton

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        size = int(self.headers[LENGTH_HEADER])
        (entry,) = json.loads(body[:size])["inputs"]
        inputs = {entry["name"]: from_bytes(body[size:], "int64", tuple(entry["shape"]))}
        self.server.asked.append((self.path, inputs["tokens"].shape[0]))
        status, headers, data = self.server.answer(inputs)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Triton(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def triton(answer: Answer) -> Iterator[Triton]:
    """A server that answers in a given way."""
    server = Triton(answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def shedding_first(answer: Answer) -> Answer:
    """Refuses the first request, as a queue policy does of an overloaded server."""
    refusals: Iterator[tuple[int, dict[str, str], bytes]] = iter([(503, {}, b"Request timeout expired")])
    return lambda inputs: next(refusals, None) or answer(inputs)


Ask = Callable[..., tuple[Probed, Triton]]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Probe a server that answers in a given way."""
    place = workspace(tmp_path)
    with ExitStack() as running:

        def ask(
            answer: Answer, item: Served | None = None, golden: list[Example] | None = None
        ) -> tuple[Probed, Triton]:
            server = running.enter_context(triton(answer))
            chosen, index = prepared(place, item, golden)
            folder = place.live / "payloads/triton/words__onnx/http"
            return probe(chosen, index, folder, server.address, golden or examples()), server

        yield ask


def prepared(
    place: Any, item: Served | None = None, golden: list[Example] | None = None
) -> tuple[Served, PayloadIndex]:
    chosen = item or served(place)
    return chosen, write_payloads(chosen, "http", golden or examples(), place.live)


def test_right_answers_pass_with_their_figures(ask: Ask) -> None:
    probed, server = ask(right)
    assert probed.parity.passed
    assert probed.parity.max_abs == 0.0
    assert probed.parity.agreement == 1.0
    assert probed.parity.requests == len(examples())
    assert probed.first_request_ms > 0
    assert [rows for _, rows in server.asked] == [example.rows for example in examples()]
    assert {path for path, _ in server.asked} == {"/v2/models/words__onnx/versions/1/infer"}


def test_answers_within_tolerance_pass(ask: Ask) -> None:
    probed, _ = ask(lambda inputs: encoded({"logits": answer_of(inputs["tokens"])["logits"] * np.float32(1 + 1e-4)}))
    assert probed.parity.passed
    assert probed.parity.max_rel == pytest.approx(1e-4, rel=0.1)


def spoilt(inputs: Tensors) -> Tensors:
    logits = answer_of(inputs["tokens"])["logits"]
    logits[0, 0] += np.float32(1.0)
    return {"logits": logits}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda i: encoded(spoilt(i)), "'logits' is out of tolerance"),
        (lambda i: encoded({"logits": np.full_like(answer_of(i["tokens"])["logits"], np.nan)}), "NaN in"),
        (lambda i: encoded({"logits": answer_of(i["tokens"])["logits"].astype(np.float64)}), "dtype of 'logits'"),
        (lambda i: encoded({"logits": answer_of(i["tokens"])["logits"][:, :1].copy()}), "shape of 'logits'"),
        (lambda i: encoded({"scores": answer_of(i["tokens"])["logits"]}), "output 'logits' is missing"),
    ],
    ids=["wrong", "nan", "dtype", "shape", "name"],
)
def test_wrong_answers_fail_by_name(ask: Ask, answer: Answer, reason: str) -> None:
    probed, _ = ask(answer)
    assert not probed.parity.passed
    assert reason in probed.parity.reasons[0]
    assert probed.parity.reasons[0].startswith("r0000: ")


def test_one_wrong_answer_among_right_ones_is_found(ask: Ask) -> None:
    probed, _ = ask(lambda i: encoded(spoilt(i)) if i["tokens"].shape[0] == 3 else right(i))
    assert not probed.parity.passed
    assert [reason.split(":")[0] for reason in probed.parity.reasons] == ["r0008"]


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b'{"error":"in ensemble: out of memory"}'), (404, b"not found"), (503, b""), (400, b"\xff\xfe not text")],
)
def test_a_failing_status_is_a_sentence_with_the_servers_own_words(ask: Ask, status: int, body: bytes) -> None:
    with pytest.raises(ServerError) as caught:
        ask(lambda _: (status, {}, body))
    text = str(caught.value)
    assert text.startswith("triton did not answer golden request r0000 of words__onnx over http: ")
    assert f"HTTP {status}" in text
    assert body.decode(errors="replace") in text


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: (200, {}, b"<html>a proxy's page</html>"),
        lambda _: (200, {LENGTH_HEADER: "2"}, b"{}"),
        lambda _: (200, {LENGTH_HEADER: "2"}, b"[]"),
        lambda i: (*right(i)[:2], right(i)[2][:-1]),
        lambda i: (200, {LENGTH_HEADER: "many"}, right(i)[2]),
    ],
    ids=["html", "empty", "list", "cut off", "a length that is no number"],
)
def test_an_answer_that_is_not_of_the_protocol_is_a_sentence(ask: Ask, answer: Answer) -> None:
    with pytest.raises(ServerError, match="words__onnx over http: not an answer of Triton's HTTP protocol"):
        ask(answer)


def test_nobody_listening_is_a_sentence(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    item, index = prepared(place)
    folder = place.live / "payloads/triton/words__onnx/http"
    with pytest.raises(ServerError, match=r"did not answer golden request r0000 of words__onnx over http: .*refused"):
        probe(item, index, folder, f"127.0.0.1:{free_port()}", examples())


def test_a_request_that_is_shed_under_load_is_asked_again(ask: Ask) -> None:
    probed, server = ask(shedding_first(right))
    assert probed.parity.passed
    assert len(server.asked) == len(examples()) + 1


def test_a_recheck_under_load_is_of_answers_and_not_of_patience(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    prepared(place)
    with triton(shedding_first(right)) as server:
        assert recheck(endpoint(address=server.address), place).passed
    assert len(server.asked) == FEW + 1


def test_an_older_version_is_asked_under_load_as_patiently(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    prepared(place)
    with triton(shedding_first(right)) as server:
        Version(1, [endpoint(version=2, address=server.address)], place).insist_on_answers()
    assert [path for path, _ in server.asked] == ["/v2/models/words__onnx/versions/1/infer"] * (FEW + 1)


def test_requests_over_the_batch_limit_of_triton_are_not_asked(ask: Ask, tmp_path: Path) -> None:
    small = served(workspace(tmp_path), model=model(batching=Batching(max_batch_size=3)))
    probed, server = ask(right, small)
    assert probed.parity.passed
    assert max(rows for _, rows in server.asked) == 3
    assert probed.parity.requests == len(examples()) - 1


def test_a_scalar_per_row_is_sent_with_the_axis_that_triton_expects(tmp_path: Path) -> None:
    # Dims may not be empty in config.pbtxt, so the model is declared with dims [1] and an empty reshape.
    place = workspace(tmp_path)
    prices = Example("r0000", {"price": np.ones(4, dtype=np.float32)}, {})
    _, index = prepared(place, golden=[prices])
    size = int(index.payloads[0].headers[LENGTH_HEADER])
    body = (place.live / "payloads/triton/words__onnx/http" / index.payloads[0].file).read_bytes()
    assert json.loads(body[:size])["inputs"][0]["shape"] == [4, 1]


def test_only_triton_limits_the_rows_of_a_request(tmp_path: Path) -> None:
    item = served(workspace(tmp_path))
    assert batch_limit(item) == 32
    assert batch_limit(replace(item, engine="tfserving")) is None
