"""What the python-based backends cost over the framework's own call: python -m bench.backends [--rounds 3]

Floor: the bare framework call in a process of its own, on batches of the size that the server formed. Two peers on
Triton's Python backend: `empty` answers zeros and computes nothing, which no backend in Python can undercut; `simple`
loops over its requests, as most examples do. One server, one model under load at a time; floor, ours and peers take
turns, so that a machine whose speed drifts hits them all. What lies between our answers and the floor is split by the
server's own clocks: queue, input, call, output; the rest is network, protocol, scheduling and the client, which shares
the machine. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.batching import Batching
from contract.codecs import codec_for
from contract.config import read_config
from contract.errors import UsageError
from contract.manifest import Manifest, read_newest
from contract.progress import say
from contract.tensors import TensorSpec
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving import triton
from serving.starting import place_of, start
from serving.triton_config import BACKENDS, model_config, to_text

MODEL = "sentiment_torch"
LENGTH = 40
LARGEST = 64  # rows of a batch that the server may form
FORMATS = {"onnxruntime": "onnx", "pytorch": "torchscript", "tensorflow": "savedmodel"}
BATCHES, USERS = (1, 8, 32), (1, 16, 64)
OTHERS = (("grpc", 1, 16), ("http", 8, 16))  # where the other two backends are measured: protocol, rows, users

SIMPLE = """
import os, onnxruntime, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(pb_utils.get_model_dir(), "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    def execute(self, requests):
        responses = []
        for request in requests:
            tokens = pb_utils.get_input_tensor_by_name(request, "tokens").as_numpy()
            logits = self.session.run(["logits"], {"tokens": tokens})[0]
            responses.append(pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("logits", logits)]))
        return responses
"""
EMPTY = """
import numpy, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            tokens = pb_utils.get_input_tensor_by_name(request, "tokens").as_numpy()
            logits = numpy.zeros((len(tokens), 2), numpy.float32)
            responses.append(pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("logits", logits)]))
        return responses
"""
PEERS = {"simple": SIMPLE, "empty": EMPTY}
# The floor: one line in is a number of rows, one line out the median microseconds of a call.
FLOOR = """
import statistics, sys, time, numpy as np
path, length = sys.argv[1], int(sys.argv[2])
{opened}
for line in sys.stdin:
    tokens = np.random.default_rng(0).integers(1, 8000, (int(line), length))
    for _ in range(20): call(tokens)
    taken, end = [], time.perf_counter() + 0.25
    while time.perf_counter() < end:
        started = time.perf_counter(); call(tokens); taken.append(time.perf_counter() - started)
    print(statistics.median(taken) * 1e6, flush=True)
"""
OPENED = {
    "onnxruntime": """
import onnxruntime
options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
def call(tokens): return session.run(["logits"], {"tokens": tokens})
""",
    "pytorch": """
import torch
torch.set_num_threads(1)
module = torch.jit.load(path).eval()
def call(tokens):
    with torch.inference_mode(): return module(torch.from_numpy(tokens)).numpy()
""",
    "tensorflow": """
import os; os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow as tf
options = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
session = tf.compat.v1.Session(graph=tf.Graph(), config=options)
with session.graph.as_default():
    signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
    call = session.make_callable([signature.outputs["logits"].name], [signature.inputs["tokens"].name])
""",
}


@dataclass(frozen=True)
class Measured:
    """One model under one load. Times are means in microseconds; `rows_per_call` is what the server's batcher made."""

    rps: float
    latency_us: float
    p50_us: float
    queue_us: float
    input_us: float
    call_us: float
    output_us: float
    rows_per_call: float

    @property
    def rest_us(self) -> float:
        """Network, protocol, scheduling: what the server's clocks do not see."""
        return self.latency_us - self.queue_us - self.input_us - self.call_us - self.output_us


class Floor:
    """A framework alone in a process."""

    def __init__(self, backend: str, path: Path) -> None:
        text = FLOOR.replace("{opened}", OPENED[backend])
        command = [sys.executable, "-W", "ignore", "-c", text, str(path), str(LENGTH)]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def us(self, rows: float) -> float:
        """Median microseconds of one call of so many rows."""
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(f"{max(1, round(rows))}\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("the floor's process died")
        return float(line)

    def close(self) -> None:
        self._child.communicate()


def exported(config: Path, zoo: Path, root: Path) -> tuple[Path, Manifest]:
    """The model's artifacts, made by the real export in a workspace of its own."""
    source = read_config(config)
    if MODEL not in source.models or not (zoo / MODEL).is_dir():
        raise UsageError(f"{zoo / MODEL} is not there; run 'make zoo' first")
    shutil.copytree(zoo, root / "zoo" / "out")
    beside = Path(shutil.copy2(config, root))  # weights are looked for beside the file that names them
    words = ["--config", str(beside), "--workspace", str(root)]
    ended = subprocess.run([sys.executable, "-m", "export", *words], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(f"python -m export ended with code {ended.returncode}: {ended.stderr[-500:]}")
    return read_newest(root / "artifacts" / MODEL)


def lay_out(repository: Path, folder: Path, manifest: Manifest) -> None:
    """Our three backends and the peers, each with the same model."""
    batching = Batching(max_batch_size=LARGEST, threads=1)
    for name, form in {**FORMATS, **dict.fromkeys(PEERS, "onnx")}.items():
        config = model_config(name, form, manifest.inputs, manifest.outputs, batching, [], "")
        version = repository / name / "1"
        version.mkdir(parents=True)
        record = manifest.formats[form]
        assert record.path, f"{form}: {record.status}"
        (version / BACKENDS[form].filename).symlink_to(folder / record.path)
        if name in PEERS:
            config.backend, config.platform, config.default_model_filename = "python", "", ""
            (version / "model.py").write_text(PEERS[name])
        (repository / name / "config.pbtxt").write_text(to_text(config))


def load(
    address: str, statistics_port: int, name: str, protocol: str, rows: int, users: int, seconds: float
) -> Measured:
    """Put one model under load from another process and read the server's clocks before and after."""
    word = {"address": address, "name": name, "protocol": protocol, "rows": rows, "users": users, "seconds": seconds}
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.backends", "--client", json.dumps(word)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout and child.stdin
    child.stdout.readline()  # it is warm
    before = counters(statistics_port, name)
    child.stdin.write("go\n")
    child.stdin.flush()
    answer = child.stdout.readline()
    after = counters(statistics_port, name)
    if child.wait() != 0 or not answer:
        raise SystemExit(f"the client of {name} ended with code {child.returncode}")
    client = json.loads(answer)
    spent = {key: after[key] - before[key] for key in before}
    requests = max(1.0, spent["requests"])
    times = {f"{key}_us": spent[key] / requests / 1e3 for key in ("queue", "input", "call", "output")}
    return Measured(**client, **times, rows_per_call=spent["rows"] / max(1.0, spent["calls"]))


def counters(port: int, name: str) -> dict[str, float]:
    """The server's own counts and nanoseconds for a model."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", f"/v2/models/{name}/stats")
    found = json.loads(connection.getresponse().read())["model_stats"][0]
    connection.close()
    inside = found["inference_stats"]
    keys = {"queue": "queue", "input": "compute_input", "call": "compute_infer", "output": "compute_output"}
    return {
        "requests": inside["success"]["count"],
        "rows": found["inference_count"],
        "calls": found["execution_count"],
        **{short: inside[long]["ns"] for short, long in keys.items()},
    }


def client(word: dict[str, Any]) -> None:
    """The load: users that wait for their answers, in a process of its own; the same bytes again and again.

    Says `warm` once it has warmed up, waits for a line, and prints one JSON line: answers per second, latencies.
    """
    send = {"http": http_sender, "grpc": grpc_sender}[word["protocol"]](word)
    taken: list[list[float]] = [[] for _ in range(word["users"])]
    measure, stop = threading.Event(), threading.Event()

    def user(number: int) -> None:
        ask = send()
        while not stop.is_set():
            started = time.perf_counter()
            ask()
            if measure.is_set():
                taken[number].append(time.perf_counter() - started)

    threads = [threading.Thread(target=user, args=(number,), daemon=True) for number in range(word["users"])]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    print("warm", flush=True)
    sys.stdin.readline()
    measure.set()
    started = time.perf_counter()
    time.sleep(word["seconds"])
    measure.clear()
    seconds = time.perf_counter() - started
    stop.set()
    latencies = [item * 1e6 for one in taken for item in one]
    if not latencies:
        raise SystemExit("no request was answered in time")
    figures = {
        "rps": len(latencies) / seconds,
        "latency_us": statistics.fmean(latencies),
        "p50_us": statistics.median(latencies),
    }
    print(json.dumps(figures), flush=True)
    for thread in threads:
        thread.join()


def payload(word: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
    codec = codec_for("triton", word["protocol"])
    tokens = np.random.default_rng(0).integers(1, 8000, (word["rows"], LENGTH))
    encoded = codec.encode(
        word["name"], 1, {"tokens": tokens}, [TensorSpec(name="logits", dtype="float32", dims=["batch", 2])]
    )
    return codec.target(word["name"], 1), encoded.body, encoded.headers


def http_sender(word: dict[str, Any]) -> Any:
    """Raw sockets: one per user, the request's bytes made once, the answer read by its Content-Length."""
    import socket

    target, body, headers = payload(word)
    host, port = word["address"].rsplit(":", 1)
    headers = {**headers, "Content-Length": str(len(body))}
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    request = head.encode() + b"\r\n" + body

    def connect() -> Any:
        connection = socket.create_connection((host, int(port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask() -> None:
            connection.sendall(request)
            answer = connection.recv(65536)
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(answer.decode(errors="replace"))
            head, _, rest = answer.partition(b"\r\n\r\n")
            missing = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) - len(rest)
            while missing > 0:
                missing -= len(connection.recv(65536))

        return ask

    return connect


def grpc_sender(word: dict[str, Any]) -> Any:
    """Bytes in and out, a few channels: one would put all streams behind one connection."""
    import grpc

    target, body, _ = payload(word)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(word["address"], options=options) for _ in range(min(4, word["users"]))]
    turns = iter(range(10**9))

    def connect() -> Any:
        channel = channels[next(turns) % len(channels)]
        call = channel.unary_unary(target, request_serializer=None, response_deserializer=None)
        return lambda: call(body, wait_for_ready=True, timeout=60)

    return connect


def main() -> None:
    parser = argparse.ArgumentParser(description="What the python-based backends cost over the framework's own call.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--zoo", type=Path, default=Path("zoo/out"), help="where the trained models are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="a few loads only")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(json.loads(options.client))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        artifacts, manifest = exported(options.config, options.zoo, root)
        workspace = Workspace(root)
        lay_out(workspace.triton_repository, artifacts, manifest)
        server, _ = start(
            lambda: triton.launch(workspace, "process", "24.10"), "process", workspace, lambda _: "2.51.0"
        )
        floors = {name: Floor(name, artifacts / str(manifest.formats[form].path)) for name, form in FORMATS.items()}
        try:
            control = TritonControl(f"127.0.0.1:{server.ports['http']}")
            for name in (*FORMATS, *PEERS):
                control.load(name)
            found = rounds(server.ports, floors, options)
        finally:
            place_of(server).stop(server)
            for floor in floors.values():
                floor.close()
    print(json.dumps({"model": MODEL, "length": LENGTH, "rounds": options.rounds, "loads": found}))


def rounds(ports: dict[str, int], floors: dict[str, Floor], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every load once in each round and print what came out."""
    grid = [(protocol, rows, users) for protocol in ("http", "grpc") for rows in BATCHES for users in USERS]
    if options.quick:
        grid = [("http", 1, 1), ("http", 1, 16), ("grpc", 1, 16), ("http", 32, 16)]
    plan = [("onnxruntime", *cell) for cell in grid]
    plan += [(name, *cell) for name in ("pytorch", "tensorflow") for cell in OTHERS]
    runs: dict[tuple[str, str, int, int], list[dict[str, Any]]] = {cell: [] for cell in plan}
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}")
        for cell in plan:
            runs[cell].append(once(ports, floors, cell, options.seconds, turn=number))
    print(
        "call/floor: the call in the server over the framework's own at the same batch; "
        "over simple, over empty: answers per second; rest: network, protocol, scheduling, client"
    )
    print(
        f"{'backend':12}{'':5}{'rows':>5}{'users':>6}{'rows/call':>10}{'call/floor':>11}{'over simple':>12}"
        f"{'over empty':>11}  mean latency"
    )
    return [summary(cell, runs[cell]) for cell in plan]


def once(
    ports: dict[str, int], floors: dict[str, Floor], cell: tuple[str, str, int, int], seconds: float, turn: int
) -> dict[str, Any]:
    """Ours, the floor at the batch that ours formed, and the peers beside ONNX Runtime, which they are made of.

    Another one begins in each round: on a machine that is throttled, whoever comes first has the most of it.
    """
    name, protocol, rows, users = cell
    names = [name, *PEERS] if name == "onnxruntime" else [name]
    names = names[turn % len(names) :] + names[: turn % len(names)]
    address = f"127.0.0.1:{ports[protocol]}"
    took = {each: load(address, ports["http"], each, protocol, rows, users, seconds) for each in names}
    ours = took[name]
    floor = floors[name].us(ours.rows_per_call)
    found = {**asdict(ours), "rest_us": ours.rest_us, "floor_us": floor, "call_over_floor": ours.call_us / floor}
    for peer in PEERS:
        if peer in took:
            found |= {f"over_{peer}": ours.rps / took[peer].rps, f"{peer}_us": took[peer].call_us}
    return found


def summary(cell: tuple[str, str, int, int], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, with the range of the ratios."""
    name, protocol, rows, users = cell
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    parts = ("queue", "input", "call", "output", "rest")
    split = ", ".join(f"{part} {middle[f'{part}_us']:.0f}" for part in parts)
    simple, empty = (f"{middle[key]:.2f}x" if key in middle else "-" for key in ("over_simple", "over_empty"))
    print(
        f"{name:12}{protocol:5}{rows:5}{users:6}{middle['rows_per_call']:10.1f}{middle['call_over_floor']:10.2f}x"
        f"{simple:>12}{empty:>11}  {middle['latency_us']:.0f} us: {split}"
    )
    ranges = {
        f"{key}_{edge.__name__}": round(edge(run[key] for run in runs), 2)
        for key in ("call_over_floor", "over_simple", "over_empty")
        if key in middle
        for edge in (min, max)
    }
    figures = {key: round(value, 2) for key, value in middle.items()}
    return {"backend": name, "protocol": protocol, "rows": rows, "users": users, **figures, **ranges}


if __name__ == "__main__":
    main()
