"""The python-based backends inside the real Triton: padding, strings, bad neighbours, cancellation, parameters."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from contract.errors import ServerError
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines import triton
from serving.places.starting import place_of, start

pytestmark = [pytest.mark.e2e]

Array = np.ndarray[Any, Any]
VOCABULARY = 50
TOGETHER_US = 300_000  # long enough for all requests of a test to be joined

# Each model looks rows up in a table, weighs them with a mask, and adds them up: padding with 0 changes no sum, and an
# index beyond the table is an error in every framework. `tags` is as long as the request.
ONNX = """
import numpy as np, onnx
from onnx import TensorProto as T, helper as h, numpy_helper as n
table = n.from_array(np.arange(50 * 4, dtype=np.float32).reshape(50, 4) % 17, "table")
axes = [n.from_array(np.array([2]), "last"), n.from_array(np.array([1]), "length")]
nodes = [
    h.make_node("Gather", ["table", "tokens"], ["rows"]), h.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
    h.make_node("Mul", ["rows", "weights"], ["weighed"]),
    h.make_node("ReduceSum", ["weighed", "length"], ["total"], keepdims=0),
    h.make_node("Add", ["tokens", "tokens"], ["tags"]),
]
def tensor(name, kind, last="l"): return h.make_tensor_value_info(name, kind, ["b", last])
inputs = [tensor("tokens", T.INT64), tensor("mask", T.FLOAT)]
outputs = [tensor("total", T.FLOAT, 4), tensor("tags", T.INT64)]
def save(nodes, inputs, outputs, initial, path):
    graph = h.make_graph(nodes, "g", inputs, outputs, initial)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
save(nodes, inputs, outputs, [table, *axes], "scores.onnx")
texts = [tensor(name, T.STRING) for name in ("text", "echo")]
save([h.make_node("Identity", ["text"], ["echo"])], texts[:1], texts[1:], [], "words.onnx")
"""
TORCH = """
import torch
class Scores(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(50 * 4, dtype=torch.float32).reshape(50, 4) % 17)
    def forward(self, tokens, mask):
        return (torch.nn.functional.embedding(tokens, self.table) * mask.unsqueeze(2)).sum(1), tokens + tokens
class Slow(torch.nn.Module):
    def forward(self, rounds):
        x = torch.eye(300)
        for _ in range(int(rounds.max())):
            x = x @ x
        return x[:1, :1].expand(rounds.shape[0], 1).contiguous()
torch.jit.script(Scores()).save("scores.pt")
torch.jit.script(Slow()).save("slow.pt")
"""
TENSORFLOW = """
import tensorflow as tf
class Both(tf.Module):
    def __init__(self):
        self.table = tf.Variable(tf.reshape(tf.range(50 * 4, dtype=tf.float32), (50, 4)) % 17)
    @tf.function(input_signature=[
        tf.TensorSpec([None, None], tf.int64, "tokens"), tf.TensorSpec([None, None], tf.float32, "mask")])
    def scores(self, tokens, mask):
        rows = tf.gather(self.table, tokens) * mask[:, :, None]
        return {"total": tf.reduce_sum(rows, 1), "tags": tokens + tokens}
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "text")])
    def words(self, text):
        return {"echo": tf.identity(text)}
model = Both()
tf.saved_model.save(model, "both.savedmodel", signatures={"serving_default": model.scores, "words": model.words})
"""
BACKENDS = {
    "onnxruntime": ("onnxruntime_onnx", "model.onnx"),
    "pytorch": ("pytorch_libtorch", "model.pt"),
    "tensorflow": ("tensorflow_savedmodel", "model.savedmodel"),
}
SCORES = {
    "input": [("tokens", "TYPE_INT64", "-1"), ("mask", "TYPE_FP32", "-1")],
    "output": [("total", "TYPE_FP32", "4"), ("tags", "TYPE_INT64", "-1")],
}
WORDS = {"input": [("text", "TYPE_STRING", "-1")], "output": [("echo", "TYPE_STRING", "-1")]}
SLOW = {"input": [("rounds", "TYPE_INT64", "1")], "output": [("y", "TYPE_FP32", "1")]}
RAGGED = {
    "padding": '{"tokens": {"1": 0}, "mask": {"1": 0}}',
    "unpad": '{"tags": {"1": ["tokens", 1]}}',
}


@dataclass
class Server:
    """The running Triton and the folder of its models."""

    repository: Path
    made: Path
    control: TritonControl
    client: Any
    pid: int

    def load(
        self,
        name: str,
        backend: str,
        artifact: str,
        tensors: dict[str, list[tuple[str, str, str]]],
        parameters: dict[str, str],
        extra: str = "",
    ) -> None:
        """Lay a model out and load it."""
        platform, filename = BACKENDS[backend]
        folder = self.repository / name
        (folder / "1").mkdir(parents=True)
        (folder / "1" / filename).symlink_to(self.made / artifact)
        ragged = " allow_ragged_batch: true" if "padding" in parameters else ""
        lines = [f'backend: "{backend}"', f'platform: "{platform}"', "max_batch_size: 64"]
        for field, specs in tensors.items():
            for tensor, kind, dims in specs:
                rest = ragged if field == "input" else ""
                lines.append(f'{field} {{ name: "{tensor}" data_type: {kind} dims: [ {dims} ]{rest} }}')
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {TOGETHER_US} preferred_batch_size: 64 }}")
        lines.append("instance_group { kind: KIND_AUTO count: 1 }")
        for key, value in parameters.items():
            text = value.replace('"', '\\"')
            lines.append(f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}')
        (folder / "config.pbtxt").write_text("\n".join([*lines, extra]))
        self.control.load(name)

    def ask(self, model: str, **arrays: Array) -> dict[str, Array]:
        """One request and its answer."""
        result = self.client.infer(model, inputs(arrays))
        names = [output.name for output in result.get_response().outputs]
        return {name: result.as_numpy(name) for name in names}

    def ask_together(self, model: str, requests: list[dict[str, Array]]) -> list[dict[str, Array] | Exception]:
        """Many requests at the same time, each answer or error in its place."""

        def one(arrays: dict[str, Array]) -> dict[str, Array] | Exception:
            try:
                return self.ask(model, **arrays)
            except InferenceServerException as error:
                failed: Exception = error
                return failed

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(one, requests))

    def calls(self, model: str) -> int:
        """How many times the server has called the backend of a model."""
        statistics = self.client.get_inference_statistics(model, as_json=True)
        return int(statistics["model_stats"][0].get("execution_count", 0))

    def threads(self, model: str) -> int:
        """Threads of the process that runs a model's only instance."""
        for process in psutil.Process(self.pid).children(recursive=True):
            if f"/{model}/" in " ".join(process.cmdline()):
                return int(process.num_threads())
        raise AssertionError(f"no process runs {model}")


def inputs(arrays: dict[str, Array]) -> list[Any]:
    """Arrays as tritonclient wants them."""
    kinds = {"int64": "INT64", "float32": "FP32", "object": "BYTES"}
    found = []
    for name, array in arrays.items():
        tensor = triton_grpc.InferInput(name, list(array.shape), kinds[str(array.dtype)])
        tensor.set_data_from_numpy(array)
        found.append(tensor)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("backends")
    made = root / "made"
    made.mkdir()
    for script in (ONNX, TORCH, TENSORFLOW):  # torch and TensorFlow never share a process
        (made / "make.py").write_text(textwrap.dedent(script))
        child = subprocess.run([sys.executable, "make.py"], cwd=made, capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stderr
    workspace = Workspace(root)
    workspace.triton_repository.mkdir(parents=True)
    record, _ = start(lambda: triton.launch(workspace, "process", "24.10"), "process", workspace, lambda _: "2.51.0")
    assert record.pid is not None
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{record.ports['grpc']}")
    control = TritonControl(f"127.0.0.1:{record.ports['http']}")
    try:
        yield Server(workspace.triton_repository, made, control, client, record.pid)
    finally:
        client.close()
        place_of(record).stop(record)


@pytest.fixture(scope="module", params=["onnxruntime", "pytorch", "tensorflow"])
def scores(request: pytest.FixtureRequest, server: Server) -> Iterator[str]:
    """The same model in three frameworks, one after the other, each with ragged batches."""
    artifact = {"onnxruntime": "scores.onnx", "pytorch": "scores.pt", "tensorflow": "both.savedmodel"}[request.param]
    name = f"scores_{request.param}"
    server.load(name, request.param, artifact, SCORES, RAGGED)
    yield name
    server.control.unload(name)


def question(random: np.random.Generator, rows: int, length: int) -> dict[str, Array]:
    mask = random.integers(0, 2, (rows, length)).astype(np.float32)
    return {"tokens": random.integers(1, VOCABULARY, (rows, length)), "mask": mask}


def expected(asked: dict[str, Array]) -> Array:
    table = (np.arange(VOCABULARY * 4, dtype=np.float32).reshape(VOCABULARY, 4) % 17).astype(np.float32)
    total: Array = (table[asked["tokens"]] * asked["mask"][:, :, None]).sum(axis=1)
    return total


def test_requests_of_different_lengths_are_one_call_and_answer_as_if_they_were_alone(
    server: Server, scores: str
) -> None:
    random = np.random.default_rng(7)
    requests = [question(random, 1 + index % 3, length) for index, length in enumerate((3, 9, 1, 9, 17, 4, 30, 2))]
    before = server.calls(scores)
    together = server.ask_together(scores, requests)
    assert server.calls(scores) - before < len(requests) / 2
    for asked, answer in zip(requests, together, strict=True):
        assert not isinstance(answer, Exception), answer
        np.testing.assert_allclose(answer["total"], expected(asked), rtol=1e-6)
        assert np.array_equal(answer["tags"], asked["tokens"] * 2)
        alone = server.ask(scores, **asked)
        np.testing.assert_allclose(answer["total"], alone["total"], rtol=1e-6)
        assert np.array_equal(answer["tags"], alone["tags"])


def test_one_bad_request_fails_alone_in_words_and_its_neighbours_are_answered(server: Server, scores: str) -> None:
    random = np.random.default_rng(8)
    requests = [question(random, 1, 6) for _ in range(12)]
    requests[5]["tokens"][0, 2] = VOCABULARY + 900
    before = server.calls(scores)
    answers = server.ask_together(scores, requests)
    assert server.calls(scores) - before < len(requests) / 2
    for index, (asked, answer) in enumerate(zip(requests, answers, strict=True)):
        if index == 5:
            assert isinstance(answer, InferenceServerException)
            assert answer.status() == "StatusCode.INVALID_ARGUMENT"
            assert "Traceback" not in str(answer)
            assert "Error:" not in str(answer).split("\n")[0][:40]
        else:
            assert not isinstance(answer, Exception), answer
            np.testing.assert_allclose(answer["total"], expected(asked), rtol=1e-6)


@pytest.mark.parametrize(
    ("backend", "artifact", "parameters"),
    [
        ("onnxruntime", "words.onnx", {}),
        ("tensorflow", "both.savedmodel", {"TF_SIGNATURE_DEF": "words"}),
    ],
)
def test_ten_thousand_strings_come_back_as_they_went(
    server: Server, backend: str, artifact: str, parameters: dict[str, str]
) -> None:
    name = f"words_{backend}"
    server.load(name, backend, artifact, WORDS, parameters)
    of_many_lengths = [f"{number} ä€ ".encode() + b"x" * (number % 37) for number in range(10_000)]
    of_one_length = [b"%07d" % number for number in range(10_000)]
    for sent in (of_many_lengths, of_one_length, [b"", b"a", b""], [b""]):
        answer = server.ask(name, text=np.array(sent, dtype=object).reshape(1, -1))["echo"]
        assert answer.shape == (1, len(sent))
        assert answer.ravel().tolist() == sent
    server.control.unload(name)


def test_what_was_cancelled_behind_a_slow_call_is_not_computed(server: Server) -> None:
    server.load("slow", "pytorch", "slow.pt", SLOW, {"INTRA_OP_THREAD_COUNT": "1"})
    server.ask("slow", rounds=np.array([[20]]))
    started = time.monotonic()
    server.ask("slow", rounds=np.array([[200]]))
    per_round = (time.monotonic() - started - TOGETHER_US / 1e6) / 200
    rounds = max(200, int(1.5 / max(per_round, 1e-5)))
    for longer in (1, 2, 4):  # a machine that was busy while it was timed is faster now: the slow call was too short
        computed_s = _behind_a_slow_call(server, longer * rounds)
        if computed_s < 10 * longer * 1.5:
            break
    assert computed_s < 10 * longer * 1.5, "the cancelled request was computed all the same"
    server.control.unload("slow")


def _behind_a_slow_call(server: Server, rounds: int) -> float:
    """Cancel a request of 50 times the rounds while another is computed; seconds until the next one is answered."""
    first = threading.Thread(target=server.ask, args=("slow",), kwargs={"rounds": np.array([[rounds]])})
    first.start()
    time.sleep(TOGETHER_US / 1e6 + 0.2)  # the first is computed now
    outcome: list[Any] = []
    doomed = server.client.async_infer(
        "slow", inputs({"rounds": np.array([[50 * rounds]])}), lambda result, error: outcome.append(error)
    )
    time.sleep(TOGETHER_US / 1e6 + 0.2)  # the second waits behind it
    doomed.cancel()
    first.join()
    started = time.monotonic()
    server.ask("slow", rounds=np.array([[1]]))
    assert len(outcome) == 1
    assert "cancel" in str(outcome[0]).lower()
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("backend", "artifact", "parameter"),
    [
        ("onnxruntime", "scores.onnx", "intra_op_thread_count"),
        ("tensorflow", "both.savedmodel", "TF_NUM_INTRA_THREADS"),
        ("pytorch", "slow.pt", "INTRA_OP_THREAD_COUNT"),
    ],
)
def test_the_thread_count_is_seen_in_the_backends_process(
    server: Server, backend: str, artifact: str, parameter: str
) -> None:
    counted = {}
    for threads in (1, 6):
        name = f"threads_{backend}_{threads}"
        if artifact == "slow.pt":
            server.load(name, backend, artifact, SLOW, {parameter: str(threads)})
            server.ask(name, rounds=np.array([[20]]))  # torch starts its threads with the first work for several
        else:
            server.load(name, backend, artifact, SCORES, {parameter: str(threads)})
            server.ask(name, tokens=np.array([[1]]), mask=np.ones((1, 1), np.float32))
        counted[threads] = server.threads(name)
        server.control.unload(name)
    assert counted[6] - counted[1] >= 5


@pytest.mark.parametrize(
    ("backend", "artifact", "parameters", "extra", "words"),
    [
        ("onnxruntime", "scores.onnx", {"intra_op_thread_count": "many"}, "", "intra_op_thread_count is 'many'"),
        ("onnxruntime", "scores.onnx", {"execution_mode": "2"}, "", "execution_mode is '2'; give 0"),
        ("onnxruntime", "scores.onnx", {}, "optimization { graph { level: 7 } }", "graph.level is 7"),
        ("onnxruntime", "scores.onnx", {"padding": '{"token": {"1": 0}}'}, "", "padding names input 'token'"),
        ("pytorch", "scores.pt", {"INFERENCE_MODE": "maybe"}, "", "INFERENCE_MODE is 'maybe'; give true or false"),
        ("tensorflow", "both.savedmodel", {"TF_SIGNATURE_DEF": "serve"}, "", "no signature 'serve'; it has"),
    ],
)
def test_a_parameter_that_is_not_understood_is_a_load_error_in_words(
    server: Server, backend: str, artifact: str, parameters: dict[str, str], extra: str, words: str
) -> None:
    name = f"wrong_{abs(hash((backend, words)))}"
    with pytest.raises(ServerError, match="refused") as caught:
        server.load(name, backend, artifact, SCORES, parameters, extra)
    assert words in str(caught.value)


@pytest.mark.parametrize(("level", "mode"), [(-1, "0"), (1, "1"), (2, "0")])
def test_graph_levels_and_execution_modes_load_and_answer_the_same(server: Server, level: int, mode: str) -> None:
    name = f"level_{level}"
    parameters = {"execution_mode": mode, "enable_mem_arena": "0", "enable_mem_pattern": "false"}
    precision = 'parameters { key: "precision_mode" value: "FP16" }'  # of a GPU: understood here, and not used
    accelerator = f'gpu_execution_accelerator {{ name: "tensorrt" {precision} }}'
    extra = f"optimization {{ graph {{ level: {level} }} execution_accelerators {{ {accelerator} }} }}"
    server.load(name, "onnxruntime", "scores.onnx", SCORES, parameters, extra)
    asked = question(np.random.default_rng(1), 2, 5)
    np.testing.assert_allclose(server.ask(name, **asked)["total"], expected(asked), rtol=1e-6)
    server.control.unload(name)


def test_torch_answers_the_same_without_its_optimisations(server: Server) -> None:
    parameters = {
        "DISABLE_OPTIMIZED_EXECUTION": "true",
        "INFERENCE_MODE": "false",
        "ENABLE_JIT_PROFILING": "false",
        "ENABLE_JIT_EXECUTOR": "false",
        "DISABLE_CUDNN": "true",
    }
    server.load("plain", "pytorch", "scores.pt", SCORES, parameters)
    asked = question(np.random.default_rng(2), 3, 4)
    np.testing.assert_allclose(server.ask("plain", **asked)["total"], expected(asked), rtol=1e-6)
    server.control.unload("plain")
