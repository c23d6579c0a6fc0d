"""What the embedded TF Serving costs over a bare gRPC server: python -m bench.embedded [--rounds 3]

One SavedModel (a small dense network) behind
  plain     the least grpcio server there is: a servicer with protobuf's classes around the same Session callable,
            as many threads, no checks, no choice of models, tensors in tensor_content both ways
  embedded  `python -m serving.tfserving`, over gRPC and over REST
  bare      the Session callable alone, in a process without a server: rows per second of one thread
Batches of 1, 8 and 32 rows, 1, 16 and 64 requests under way from a client in a process of its own; one server is up at
a time, each round begins with another, and sampled answers are compared with the callable's. Wanted: embedded gRPC at
least 0.9x of plain. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.peers.asking import drive
from bench.peers.figures import BUSY, rotated, spread
from bench.peers.running import ROOT, Running
from bench.peers.window import Load, Window
from contract.cli import Parser, run
from contract.errors import LoadproofError, ParityError, ServerError
from contract.progress import say

Rows = npt.NDArray[np.float32]

BATCHES, USERS = (1, 8, 32), (1, 16, 64)
WIDTH, CLASSES = 128, 10
THREADS = 16
WANTED = 0.9
RTOL, ATOL = 1e-5, 1e-5
METHOD = "/tensorflow.serving.PredictionService/Predict"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}

MAKE = """
import sys, tensorflow as tf
class Dense(tf.Module):
    def __init__(self):
        super().__init__()
        self.first = tf.Variable(tf.random.stateless_normal([{width}, 64], [1, 2]) / 8)
        self.last = tf.Variable(tf.random.stateless_normal([64, {classes}], [3, 4]) / 8)
    @tf.function(input_signature=[tf.TensorSpec([None, {width}], tf.float32, name="x")])
    def call(self, x):
        return {{"y": tf.nn.relu(x @ self.first) @ self.last}}
dense = Dense()
tf.saved_model.save(dense, sys.argv[1], signatures=dense.call)
"""
CALLABLE = """
import sys; from pathlib import Path
from serving.tfserving.model import SessionOptions, load_model
model = load_model(Path(sys.argv[1]), SessionOptions())
signature = model.signatures["serving_default"]
call = model._callable(signature, ("y",), 0)
"""
PLAIN = """
from concurrent.futures import ThreadPoolExecutor
import grpc, numpy as np
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc as service
class Plain(service.PredictionServiceServicer):
    def Predict(self, request, context):
        x = request.inputs["x"]
        rows = np.frombuffer(x.tensor_content, np.float32).reshape([dim.size for dim in x.tensor_shape.dim])
        (answer,) = call(rows)
        response = predict_pb2.PredictResponse()
        y = response.outputs["y"]
        y.dtype = 1
        for size in answer.shape:
            y.tensor_shape.dim.add(size=size)
        y.tensor_content = answer.tobytes()
        return response
server = grpc.server(ThreadPoolExecutor(int(sys.argv[3])))
service.add_PredictionServiceServicer_to_server(Plain(), server)
assert server.add_insecure_port(sys.argv[2])
server.start()
server.wait_for_termination()
"""
BARE = """
import json, time, numpy as np
archive = np.load(sys.argv[2]); rates, answers = {}, {}
for batch, rows in archive.items():
    for _ in range(200): answers[batch] = call(rows)[0]
    calls, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < float(sys.argv[4]): call(rows); calls += 1
    rates[batch] = calls / taken
np.savez(sys.argv[3], **answers)
print(json.dumps(rates))
"""


@dataclass(frozen=True)
class Face:
    """One way to ask: its name in the tables, how the client sends, and where to."""

    name: str
    transport: str
    target: str


PLAIN_GRPC = Face("plain gRPC", "grpc", METHOD)
OUR_GRPC = Face("embedded gRPC", "grpc", METHOD)
OUR_REST = Face("embedded REST", "http", "/v1/models/dense:predict")
FACES = (PLAIN_GRPC, OUR_GRPC, OUR_REST)
SERVERS = {"plain": (PLAIN_GRPC,), "embedded": (OUR_GRPC, OUR_REST)}
Windows = dict[tuple[Face, int, int], dict[int, Window]]  # face, rows, users -> round -> window


def body(face: Face, rows: Rows) -> bytes:
    """The request for these rows."""
    if face.transport == "http":
        return json.dumps({"instances": rows.tolist()}).encode()
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "dense"
    request.inputs["x"].dtype = 1
    for size in rows.shape:
        request.inputs["x"].tensor_shape.dim.add(size=size)
    request.inputs["x"].tensor_content = rows.tobytes()
    return bytes(request.SerializeToString())


def answer(face: Face, raw: bytes) -> Rows:
    """The rows of a response."""
    if face.transport == "http":
        return np.array(json.loads(raw)["predictions"], np.float32)
    from tensorflow_serving.apis import predict_pb2

    y = predict_pb2.PredictResponse.FromString(raw).outputs["y"]
    values = np.frombuffer(y.tensor_content, np.float32) if y.tensor_content else np.array(y.float_val, np.float32)
    return values.reshape([dim.size for dim in y.tensor_shape.dim])


def ask(face: Face, address: str, rows: Rows, users: int, seconds: tuple[float, float], right: Rows) -> Window:
    """One window of load. Raises ParityError where a sampled answer is not the callable's."""
    sent = base64.b64encode(body(face, rows)).decode()
    load = Load(face.transport, address, face.target, {"Content-Type": "application/json"}, sent, users, *seconds)
    window = drive(load)
    for _, kept in window.kept:
        found = answer(face, base64.b64decode(kept))
        if found.shape != right.shape or not np.allclose(found, right, RTOL, ATOL):
            raise ParityError(f"{face.name} answers {found.ravel()[:4]}…, the callable {right.ravel()[:4]}…")
    return window


@contextmanager
def serving(name: str, model: Path, work: Path, number: int) -> Iterator[tuple[Running, dict[Face, str]]]:
    """One of SERVERS on free ports, and the address of each of its faces."""
    ports = {face: _free_port() for face in SERVERS[name]}
    addresses = {face: f"127.0.0.1:{port}" for face, port in ports.items()}
    if name == "plain":
        address = addresses[PLAIN_GRPC]
        command = [sys.executable, "-c", CALLABLE + PLAIN, str(model / "1"), address, str(THREADS)]
    else:
        command = [sys.executable, "-m", "serving.tfserving", "--model_name=dense", f"--model_base_path={model}"]
        command += [f"--port={ports[OUR_GRPC]}", f"--rest_api_port={ports[OUR_REST]}", f"--grpc_max_threads={THREADS}"]
    with Running(name, command, QUIET, ROOT, work / f"{name}-{number}.log") as server:
        yield server, addresses


def bare(model: Path, work: Path, seconds: float) -> tuple[dict[int, float], dict[int, Rows]]:
    """(calls per second, right answer) of the Session callable alone, by batch."""
    words = [sys.executable, "-c", CALLABLE + BARE, str(model / "1"), str(work / "rows.npz"), str(work / "right.npz")]
    ended = _python([*words, str(seconds)])
    with np.load(work / "right.npz") as archive:
        right = {int(batch): archive[batch] for batch in archive.files}
    return {int(batch): rate for batch, rate in json.loads(ended.splitlines()[-1]).items()}, right


def measure(rounds: int, seconds: tuple[float, float], work: Path) -> tuple[Windows, dict[int, list[float]]]:
    """All rounds: the windows, and the bare callable's rates."""
    model = work / "model"
    _python([sys.executable, "-c", MAKE.format(width=WIDTH, classes=CLASSES), str(model / "1")])
    chance = np.random.default_rng(1)
    rows = {batch: chance.normal(size=(batch, WIDTH)).astype(np.float32) for batch in BATCHES}
    np.savez(work / "rows.npz", **{str(batch): array for batch, array in rows.items()})
    windows: Windows = defaultdict(dict)
    floor: dict[int, list[float]] = defaultdict(list)
    for number in range(rounds):
        rates, right = bare(model, work, seconds[1] / 2)
        for batch, rate in rates.items():
            floor[batch].append(rate)
        for name in rotated(list(SERVERS), number):
            with serving(name, model, work, number) as (server, addresses):
                for face, address in addresses.items():
                    server.wait(partial(_ready, face, address, rows[1], right[1]))
                for batch in BATCHES:
                    for users in USERS:
                        for face, address in addresses.items():
                            window = ask(face, address, rows[batch], users, seconds, right[batch])
                            if not window.answers:
                                raise ServerError(f"{face.name} answered nothing: {window.first_error}")
                            windows[face, batch, users][number] = window
            say(f"round {number + 1} of {rounds}: {name} measured")
    return windows, floor


def document(windows: Windows, floor: dict[int, list[float]], rounds: int) -> dict[str, Any]:
    """What the last line says."""
    rates = {
        point: {number: window.answers / window.seconds for number, window in by_round.items()}
        for point, by_round in windows.items()
    }
    found: dict[str, Any] = {"rounds": rounds, "cores": len(os.sched_getaffinity(0)), "threads": THREADS}
    found["bare_calls_per_s"] = {batch: spread(values).rounded(0) for batch, values in floor.items()}
    found["points"] = []
    ours = [point for point in rates if point[0] is OUR_GRPC]
    pairs = [(rate, rates[PLAIN_GRPC, *point[1:]][number]) for point in ours for number, rate in rates[point].items()]
    overall = spread([rate / plain for rate, plain in pairs])
    found["embedded_grpc_over_plain"] = overall.rounded(2) | {"wanted": WANTED, "reached": overall.median >= WANTED}
    for (face, batch, users), by_round in windows.items():
        several = list(by_round.values())
        plain = rates[PLAIN_GRPC, batch, users]
        ratio = spread([rate / plain[number] for number, rate in rates[face, batch, users].items()])
        cpu = spread([window.cpu for window in several])
        found["points"].append(
            {
                "face": face.name,
                "batch": batch,
                "users": users,
                "rps": spread(list(rates[face, batch, users].values())).rounded(0),
                "p50_ms": spread([window.p50_ms for window in several]).rounded(2),
                "p99_ms": spread([window.p99_ms for window in several]).rounded(2),
                "over_plain": ratio.rounded(2),
                "reached": ratio.median >= WANTED if face is OUR_GRPC else None,
                "errors": sum(window.errors for window in several),
                "client_cores": cpu.rounded(2),
                "client_was_the_limit": cpu.median >= BUSY,
            }
        )
    return found


def show(found: dict[str, Any]) -> None:
    """Tables for a person."""
    print(f"requests per second, median of {found['rounds']} rounds (least to most), and over plain gRPC in one round")
    for point in found["points"]:
        rps, ratio = point["rps"], point["over_plain"]
        notes = [f"p50 {point['p50_ms']['median']} ms, p99 {point['p99_ms']['median']} ms"]
        notes += [f"client {point['client_cores']['median']} cores"]
        notes += ["the client may be the limit"] if point["client_was_the_limit"] else []
        notes += [f"{point['errors']} errors"] if point["errors"] else []
        if point["reached"] is not None:
            notes += [f"wanted {WANTED}x: {'reached' if point['reached'] else 'MISSED'}"]
        print(
            f"{point['face']:14} batch {point['batch']:2} users {point['users']:2}  {rps['median']:6.0f} "
            f"({rps['min']:.0f} to {rps['max']:.0f})  {ratio['median']:.2f}x ({ratio['min']:.2f} to {ratio['max']:.2f})"
            f"  {', '.join(notes)}"
        )
    ratio = found["embedded_grpc_over_plain"]
    print(
        f"embedded gRPC over plain, all points and rounds: {ratio['median']:.2f}x ({ratio['min']:.2f} to "
        f"{ratio['max']:.2f}), wanted {WANTED}x: {'reached' if ratio['reached'] else 'MISSED'}"
    )
    for batch, rate in found["bare_calls_per_s"].items():
        print(
            f"bare callable, one thread, batch {batch:2}: {rate['median']:.0f} ({rate['min']:.0f} to {rate['max']:.0f})"
        )


def _ready(face: Face, address: str, rows: Rows, right: Rows) -> str:
    tried = ask(face, address, rows, 1, (0.0, 0.05), right)
    return "" if tried.answers else tried.first_error or "no answer"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _python(words: list[str]) -> str:
    ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **QUIET})
    if ended.returncode != 0:
        raise LoadproofError(f"a child of the benchmark failed: {ended.stderr[-500:]}")
    return ended.stdout


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.embedded", description="The embedded TF Serving beside a bare gRPC server.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=2.0, help="seconds of one window")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before it")
    options: argparse.Namespace = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as folder:
        windows, floor = measure(options.rounds, (options.warm_up, options.window), Path(folder))
    found = document(windows, floor, options.rounds)
    show(found)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    run(main)
