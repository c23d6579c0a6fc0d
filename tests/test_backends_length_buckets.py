"""Length buckets inside the real Triton: the model sees few lengths, and each request gets its own answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton_grpc
from onnx import TensorProto, helper, numpy_helper

from contract.batching import Batching
from contract.tensors import TensorSpec
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines import triton
from serving.layout.triton_config import model_config, to_text
from serving.places.starting import place_of, start

pytestmark = [pytest.mark.e2e]

Array = np.ndarray[Any, Any]
Answer = dict[str, Array]
NAME = "widths"
TOGETHER_US = 300_000  # long enough for all requests of a test to be joined
LENGTHS = (3, 9, 1, 9, 17, 4, 30, 2, 70)
BUCKETS = [8, 32, 64]
TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"])
TOTAL = TensorSpec(name="total", dtype="int64", dims=["batch", 1])
TAGS = TensorSpec(name="tags", dtype="int64", dims=["batch", "length"])
WIDTH = TensorSpec(name="width", dtype="int64", dims=["batch", 1])


def widths(path: Path) -> None:
    """A model whose `total` does not see zeros, whose `tags` are as long as the request, and that tells the length."""

    def tensor(name: str, *dims: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.INT64, dims)

    nodes = [
        helper.make_node("ReduceSum", ["tokens", "length"], ["total"], keepdims=1),
        helper.make_node("Add", ["tokens", "tokens"], ["tags"]),
        helper.make_node("Shape", ["tokens"], ["size"], start=1),
        helper.make_node("Mul", ["total", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "size"], ["width"]),
    ]
    graph = helper.make_graph(
        nodes,
        "widths",
        [tensor("tokens", "b", "l")],
        [tensor("total", "b", 1), tensor("tags", "b", "l"), tensor("width", "b", 1)],
        [numpy_helper.from_array(np.array([1]), "length"), numpy_helper.from_array(np.array([0]), "zero")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    workspace = Workspace(tmp_path_factory.mktemp("length-buckets"))
    folder = workspace.triton_repository / NAME
    (folder / "1").mkdir(parents=True)
    widths(folder / "1" / "model.onnx")
    batching = Batching(ragged=True, length_buckets=BUCKETS, max_queue_delay_us=TOGETHER_US, preferred_batch_sizes=[32])
    outputs = [TOTAL, TAGS, WIDTH]
    config = model_config(NAME, "onnx", [TOKENS], outputs, batching, [], "a" * 64, padding={"length": 0.0})
    (folder / "config.pbtxt").write_text(to_text(config))
    record, _ = start(lambda: triton.launch(workspace, "process", "24.10"), "process", workspace, lambda _: "2.51.0")
    try:
        TritonControl(f"127.0.0.1:{record.ports['http']}").load(NAME)
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{record.ports['grpc']}") as found:
            yield found
    finally:
        place_of(record).stop(record)


def ask(client: Any, tokens: Array) -> Answer:
    tensor = triton_grpc.InferInput("tokens", list(tokens.shape), "INT64")
    tensor.set_data_from_numpy(tokens)
    result = client.infer(NAME, [tensor])
    return {spec.name: result.as_numpy(spec.name) for spec in (TOTAL, TAGS, WIDTH)}


def calls(client: Any) -> int:
    """How many times the server has called the model."""
    statistics = client.get_inference_statistics(NAME, as_json=True)
    return int(statistics["model_stats"][0].get("execution_count", 0))


def request(length: int, rows: int = 1) -> Array:
    return np.random.default_rng(length).integers(1, 50, (rows, length))


def assert_answered(tokens: Array, answer: Answer) -> None:
    assert np.array_equal(answer["total"], tokens.sum(axis=1, keepdims=True))
    assert np.array_equal(answer["tags"], tokens * 2)


@pytest.mark.parametrize(("length", "seen"), [(1, 8), (8, 8), (9, 32), (33, 64), (64, 64), (65, 65)])
def test_a_request_alone_is_padded_to_its_bucket_and_answered_in_its_own_length(
    client: Any, length: int, seen: int
) -> None:
    tokens = request(length, rows=2)
    answer = ask(client, tokens)
    assert_answered(tokens, answer)
    assert answer["width"].tolist() == [[seen]] * 2


@pytest.mark.parametrize("longest", [17, 70])
def test_a_batch_of_different_lengths_is_padded_to_one_bucket_and_answered_as_if_each_were_alone(
    client: Any, longest: int
) -> None:
    requests = [request(length) for length in LENGTHS if length <= longest]
    before = calls(client)
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(lambda tokens: ask(client, tokens), requests))
    assert calls(client) - before < len(requests), "none were joined"
    assert {int(answer["width"][0, 0]) for answer in answers} <= {*BUCKETS, 70}
    for tokens, answer in zip(requests, answers, strict=True):
        assert_answered(tokens, answer)
