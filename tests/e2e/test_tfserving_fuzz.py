"""Bad clients of the embedded TF Serving: ten thousand broken bodies, half-sent requests, paths that want to get out.

Whatever they send, they get an answer of the protocol without a word of Python, and good clients are served meanwhile.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import grpc
import hpack
import numpy as np
import psutil
import pytest
from tensorflow_serving.apis import classification_pb2, predict_pb2

from tests.builders import free_port
from tests.conftest import ROOT
from tests.open_loop import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEED = 20261125
BODIES = 5000  # each for gRPC and REST
FRAMED = 2000  # further ones over REST, in chunks or in gzip
BOMBS = 100
BOMB_BYTES = 100 << 20
# Bombs after which the allocator keeps no more than it did: what 4 at once need, once in each of its arenas.
REACHED = 40
HALF_SENT = 200
FLAT_MIB = 64
SETTINGS, HEADERS, DATA, END_HEADERS = 4, 1, 0, 4  # of HTTP/2's frames
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
SERVICE = "/tensorflow.serving.PredictionService/"
NO_MESSAGE = re.compile(r"The request is not a tensorflow\.serving\.\w+\.")  # INTERNAL, but no fault of ours
# What a client must never read: our files, our language, a fault of ours.
LEAKS = re.compile(r"Traceback|\.py\b|site-packages|object has no attribute|Error\(|Exception|<class|numpy|NoneType")


@dataclass
class Running:
    """The server under attack."""

    process: subprocess.Popen[bytes]
    grpc: str
    rest: str
    log: Path

    def send(self, raw: bytes) -> bytes:
        """Everything that comes back for these bytes, after which the client sends no more."""
        host, port = self.rest.split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.rest, timeout=20)
        try:
            connection.request("POST", path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def predict(self) -> tuple[float, ...]:
        """The good request, over gRPC and a connection of its own."""
        with grpc.insecure_channel(self.grpc, options=OWN_CONNECTION) as channel:
            call = channel.unary_unary(f"{SERVICE}Predict", None, predict_pb2.PredictResponse.FromString)
            answer = call(GOOD_MESSAGE, timeout=20)
        found = answer.outputs["y"]
        return tuple(found.float_val) or tuple(np.frombuffer(found.tensor_content, "<f4").tolist())

    def threads(self) -> int:
        return int(psutil.Process(self.process.pid).num_threads())

    def mib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzz")
    subprocess.run(
        [sys.executable, "-m", "tests.half_plus_two", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    port, rest = free_port(), free_port()
    log = folder / "log"
    command = [sys.executable, "-m", "serving.tfserving", f"--port={port}", f"--rest_api_port={rest}"]
    command += ["--model_name=m", f"--model_base_path={folder / 'saved_model_half_plus_two_cpu'}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    running = Running(process, f"127.0.0.1:{port}", f"127.0.0.1:{rest}", log)

    def answers() -> bool:
        try:
            return running.post("/v1/models/m:predict", GOOD)[0] == 200
        except OSError:
            return False

    try:
        assert wait_for(answers, 90), log.read_text()
        yield running
    finally:
        process.kill()
        process.wait()


GOOD = json.dumps({"instances": [2.0, 3.0]}).encode()
GOOD_MESSAGE = predict_pb2.PredictRequest(
    model_spec={"name": "m"},
    inputs={"x": {"dtype": 1, "tensor_shape": {"dim": [{"size": 2}]}, "float_val": [2.0, 3.0]}},
).SerializeToString()


@dataclass
class GoodClient:
    """Asks all the time and wants the right answer every time."""

    server: Running
    right: ClassVar[Any] = (200, {"predictions": [3.0, 3.5]})
    answered: int = 0
    wrong: list[Any] = field(default_factory=list)

    def __enter__(self) -> GoodClient:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._ask()
                if answer != self.right:
                    self.wrong.append(answer)
            except (OSError, grpc.RpcError) as error:
                self.wrong.append(error)
            self.answered += 1
            time.sleep(0.01)

    def _ask(self) -> Any:
        status, body = self.server.post("/v1/models/m:predict", GOOD)
        return status, json.loads(body)


class GoodGrpcClient(GoodClient):
    """The same over gRPC."""

    right = (3.0, 3.5)

    def _ask(self) -> Any:
        return self.server.predict()


def mutated(good: bytes, chance: random.Random) -> bytes:
    """A body with some bytes changed, cut, doubled or replaced; sometimes nothing but noise."""
    body = bytearray(good)
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return bytes(body[: chance.randrange(len(body) + 1)])
    if kind == 2:
        at = chance.randrange(len(body))
        return bytes(body[:at] + body[at:] * chance.randrange(2, 20))
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(body))
        body[at] = chance.randrange(256)
        if kind == 3:
            del body[at : at + chance.randrange(4)]
            if not body:
                break
    return bytes(body)


def json_seeds() -> list[bytes]:
    values = [
        {"instances": [2.0, 3.0]},
        {"instances": [{"x": 1.0}, {"x": [2.0]}]},
        {"inputs": {"x": [[1.0], [2.0]]}},
        {"inputs": [1e400, -1e400, "NaN"]},
        {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": {"b64": "AAAA"}}]},
        {"signature_name": 7, "instances": None},
        {"instances": [[[[[[1]]]]]]},
        {"context": {"x": [1, 2.0]}, "examples": [{}]},
    ]
    return [json.dumps(value).encode() for value in values] + [b"[" * 5000, b'{"instances": [' + b"9" * 5000 + b"]}"]


def proto_seeds() -> list[tuple[str, bytes]]:
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "m"
    predict.inputs["x"].dtype = 1
    predict.inputs["x"].float_val.extend([1.0, 2.0])
    predict.inputs["x"].tensor_shape.dim.add(size=2)
    content = predict_pb2.PredictRequest()
    content.CopyFrom(predict)
    content.inputs["x"].tensor_content = b"\0" * 8
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "m", "classify_x_to_y"
    classify.input.example_list.examples.add().features.feature["x"].float_list.value.append(2.0)
    return [
        ("Predict", predict.SerializeToString()),
        ("Predict", content.SerializeToString()),
        ("Classify", classify.SerializeToString()),
        ("Regress", classify.SerializeToString()),
        ("MultiInference", classify.SerializeToString()),
        ("GetModelMetadata", predict.SerializeToString()),
    ]


def test_broken_rest_bodies_get_answers_of_the_protocol(server: Running) -> None:
    chance, seeds = random.Random(SEED), json_seeds()
    verbs = ["predict", "classify", "regress", "predict"]
    bodies = [(chance.choice(verbs), mutated(chance.choice(seeds), chance)) for _ in range(BODIES)]
    leaks: list[tuple[bytes, bytes]] = []
    statuses: set[int] = set()

    def one(item: tuple[str, bytes]) -> None:
        verb, body = item
        status, answer = server.post(f"/v1/models/m:{verb}", body)
        statuses.add(status)
        if LEAKS.search(answer.decode(errors="replace")) or status >= 500:
            leaks.append((body[:200], answer[:300]))

    with GoodClient(server) as good, ThreadPoolExecutor(8) as pool:
        list(pool.map(one, bodies[:500]))
        before = server.mib()
        list(pool.map(one, bodies[500:]))
    assert leaks == [], leaks[:3]
    assert statuses <= {200, 400, 404}
    assert good.wrong == [], good.wrong[:3]
    assert good.answered > 50
    assert server.process.poll() is None
    assert server.mib() - before < FLAT_MIB


def test_a_whole_body_is_answered_alike_in_chunks_and_in_gzip(server: Running) -> None:
    packed = gzip.compress(GOOD)
    head = b"POST /v1/models/m:predict HTTP/1.1\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
    for raw in (
        head + b"Content-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD),
        head + chunks % (GOOD[:5], len(GOOD) - 5, GOOD[5:]),
        head + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed),
        head + b"Content-Encoding: gzip\r\n" + chunks % (packed[:5], len(packed) - 5, packed[5:]),
    ):
        first, _, body = server.send(raw).partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200 OK"), raw
        assert json.loads(body) == {"predictions": [3.0, 3.5]}
    cut = packed[:-3]
    refused = server.send(head + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(cut), cut))
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert b"JSON Parse error: The document is empty" in refused  # the original's words for it


def chunked(body: bytes, chance: random.Random) -> bytes:
    """A body in chunks of chance, which is then damaged more often than not."""
    raw = b""
    while body:
        size = chance.randrange(1, 200)
        raw += b"%x%s\r\n%s\r\n" % (len(body[:size]), chance.choice([b"", b";a=b"]), body[:size])
        body = body[size:]
    raw += b"0\r\n" + chance.choice([b"", b"A: b\r\n"]) + b"\r\n"
    return mutated(raw, chance) if chance.random() < 0.7 else raw


def zipped(body: bytes, chance: random.Random) -> bytes:
    """A body in gzip, which is then damaged more often than not."""
    packed = gzip.compress(body)
    return mutated(packed, chance) if chance.random() < 0.7 else packed


def framed(chance: random.Random) -> bytes:
    """A request whose body comes in chunks, in gzip, or in both."""
    body = chance.choice(json_seeds())
    headers = b"POST /v1/models/m:predict HTTP/1.1\r\n"
    if chance.random() < 0.6:
        headers += b"Content-Encoding: gzip\r\n"
        body = zipped(body, chance)
        if chance.random() < 0.6:
            return headers + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    return headers + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, chance)


def answered(raw: bytes) -> list[int]:
    """The statuses of all answers on a connection, which hold what their Content-Length says and nothing between."""
    statuses: list[int] = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        length = re.search(rb"\r\ncontent-length: (\d+)(?:\r\n|$)", head, re.IGNORECASE)
        assert status and length and len(rest) >= int(length[1]), raw[:300]
        statuses.append(int(status[1]))
        raw = rest[int(length[1]) :]  # damage may have made a second request of the body's end
    return statuses


def test_broken_chunks_and_broken_gzip_get_answers_of_the_protocol(server: Running) -> None:
    chance = random.Random(SEED + 2)
    requests = [framed(chance) for _ in range(FRAMED)]
    leaks: list[tuple[bytes, bytes]] = []
    statuses: set[int] = set()

    def one(raw: bytes) -> None:
        answer = server.send(raw)
        found = answered(answer)
        statuses.update(found or [0])  # to half a request there is no answer
        if LEAKS.search(answer.decode(errors="replace")) or 500 in found:
            leaks.append((raw[:200], answer[:300]))

    with GoodClient(server) as good, ThreadPoolExecutor(8) as pool:
        list(pool.map(one, requests[:200]))
        before = server.mib()
        list(pool.map(one, requests[200:]))
    assert leaks == [], leaks[:3]
    assert {0, 200, 400} <= statuses <= {0, 200, 400, 404, 413, 431, 505}
    assert good.wrong == [], good.wrong[:3]
    assert server.process.poll() is None
    assert server.mib() - before < FLAT_MIB


def test_bombs_are_refused_and_leave_no_memory_behind(server: Running) -> None:
    bomb = gzip.compress(bytes(BOMB_BYTES))
    headers = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    requests = [headers % len(bomb) + bomb] * BOMBS
    with GoodClient(server) as good, ThreadPoolExecutor(4) as pool:
        list(pool.map(server.send, requests[:REACHED]))
        before = server.mib()
        answers = list(pool.map(server.send, requests))
    assert [answered(answer) for answer in answers] == [[413]] * BOMBS
    assert good.wrong == [], good.wrong[:3]
    assert server.mib() - before < FLAT_MIB


def test_broken_grpc_messages_get_answers_of_the_protocol(server: Running) -> None:
    chance, seeds = random.Random(SEED + 1), proto_seeds()
    channel = grpc.insecure_channel(server.grpc)
    calls = {method: channel.unary_unary(f"{SERVICE}{method}") for method, _ in seeds}
    work = []
    for _ in range(BODIES):
        method, body = chance.choice(seeds)
        work.append((method, mutated(body, chance)))
    leaks: list[Any] = []
    codes: set[str] = set()

    def one(item: tuple[str, bytes]) -> None:
        method, body = item
        try:
            calls[method](body, timeout=20)
        except grpc.RpcError as error:
            codes.add(error.code().name)
            unparsable = NO_MESSAGE.fullmatch(error.details() or "") is not None
            if error.code().name in ("DEADLINE_EXCEEDED", "UNKNOWN", "UNAVAILABLE") or (
                (error.code().name == "INTERNAL") != unparsable or LEAKS.search(error.details() or "")
            ):
                leaks.append((method, body[:120], error.code().name, error.details()[:300]))

    with GoodClient(server) as good, ThreadPoolExecutor(8) as pool:
        list(pool.map(one, work[:500]))
        before = server.mib()
        list(pool.map(one, work[500:]))
    assert leaks == [], leaks[:3]
    assert good.wrong == [], good.wrong[:3]
    assert server.process.poll() is None
    assert server.mib() - before < FLAT_MIB


def half_rest() -> bytes:
    return b'POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"inst'


def half_chunk() -> bytes:
    return b'POST /v1/models/m:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"i\r\n64\r\nnst'


def grpc_headers() -> bytes:
    """HTTP/2's preface and settings, and the headers of a Predict."""
    headers = hpack.Encoder().encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"{SERVICE}Predict"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
    )
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, headers)


def grpc_message() -> bytes:
    """Of a message of 100 bytes, not compressed, the first 40."""
    return frame(DATA, 0, 1, struct.pack(">BI", 0, 100) + bytes(40))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


@pytest.mark.parametrize(
    ("port_of", "whole", "half"),
    [
        pytest.param("rest", b"", half_rest(), id="rest"),
        pytest.param("rest", b"", half_chunk(), id="rest, half a chunk"),
        pytest.param("grpc", b"", grpc_headers()[:-1], id="grpc, half the headers"),
        pytest.param("grpc", grpc_headers(), grpc_message(), id="grpc, half the message"),
    ],
)
def test_clients_that_send_half_a_request_and_stay_take_nothing_from_the_others(
    server: Running, port_of: str, whole: bytes, half: bytes
) -> None:
    host, port = getattr(server, port_of).split(":")
    assert server.predict() == GoodGrpcClient.right  # what the first call takes is nobody's leak
    before, mib = server.threads(), server.mib()
    held = [socket.create_connection((host, int(port)), timeout=10) for _ in range(HALF_SENT)]
    try:
        for number, connection in enumerate(held):
            connection.sendall(whole + half[: 1 + number % len(half)])
        with GoodClient(server) as good, GoodGrpcClient(server) as good_too:
            served = wait_for(lambda: min(good.answered, good_too.answered) > 20, 15)
        assert (good.wrong, good_too.wrong) == ([], [])
        assert served, (good.answered, good_too.answered)
    finally:
        for connection in held:
            connection.close()
    assert wait_for(lambda: server.post("/v1/models/m:predict", GOOD)[0] == 200, 10)
    assert wait_for(lambda: server.predict() == GoodGrpcClient.right, 10)
    assert wait_for(lambda: server.threads() < before + HALF_SENT / 4, 10), server.threads()
    assert wait_for(lambda: server.mib() - mib < FLAT_MIB, 10), server.mib() - mib


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/../../etc/passwd",
        "/v1/models/%2e%2e%2f%2e%2e%2fetc",
        "/v1/models/m/versions/../../../etc:predict",
        "/v1/models/m%00:predict",
        "/v1/models/m/versions/99999999999999999999:predict",
        "/v1/models/m/labels/..%2f..:predict",
        "/../../etc/passwd",
    ],
)
def test_paths_that_want_to_get_out_find_nothing(server: Running, path: str) -> None:
    status, body = server.post(path, GOOD)
    assert status in (400, 404)
    assert b"root:" not in body
    assert not LEAKS.search(body.decode(errors="replace"))


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: Running) -> None:
    host, port = server.rest.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_nothing_of_all_this_left_a_stack_trace_in_the_log(server: Running) -> None:
    assert "Traceback" not in server.log.read_text(errors="replace")
