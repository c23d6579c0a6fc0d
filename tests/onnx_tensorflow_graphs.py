"""Import whole graphs into TensorFlow, save and reload them, and compare with ONNX Runtime at sizes of all kinds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf

from contract.tensors import Array
from export.onnx_tensorflow import import_graph

RANDOM = np.random.default_rng(4)
Request = dict[str, Array]


def text(batch: int, length: int) -> Request:
    return {"ids": RANDOM.integers(1, 50, (batch, length))}


def padded_text(batch: int, length: int) -> Request:
    """The last third of every second row is padding."""
    ids = RANDOM.integers(1, 50, (batch, length))
    ids[::2, length - length // 3 :] = 0
    return {"ids": ids}


def image(batch: int, height: int, width: int) -> Request:
    return {"image": RANDOM.standard_normal((batch, 3, height, width), np.float32)}


def rounds(batch: int, count: int) -> Request:
    return {"x": RANDOM.standard_normal((batch, 6), np.float32), "rounds": np.array(count)}


# file -> requests; none is of the size that the exporter saw
REQUESTS: dict[str, list[Callable[[], Request]]] = {
    "text": [lambda: text(1, 1), lambda: text(13, 5), lambda: text(64, 30)],
    "encoder": [lambda: padded_text(1, 3), lambda: padded_text(6, 12)],
    "convolutions": [lambda: image(1, 32, 48), lambda: image(3, 64, 40)],
    "rounds": [lambda: rounds(2, 1), lambda: rounds(5, 0), lambda: rounds(1, 9)],
}


def difference(session: Any, graph: Any, feeds: dict[str, Any], fetch: Any, request: Request) -> float:
    expected = onnx_answer(session, request)
    actual = graph.run(fetch, {feeds[name]: array for name, array in request.items()})
    assert actual.shape == expected.shape and actual.dtype == expected.dtype, (actual.shape, expected.shape)
    return float(np.abs(actual - expected).max())


def onnx_answer(session: Any, request: Request) -> Array:
    answer: Array = session.run(["score"], request)[0]
    return answer


def check(file: Path, folder: Path) -> dict[str, Any]:
    """Through a SavedModel and a TensorFlow 1 session, as the servers open it."""
    module = import_graph(file)
    function = tf.function(module.__call__, input_signature=module.signature(), autograph=False)
    tf.saved_model.save(module, str(folder), signatures=function.get_concrete_function())
    reference = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = loaded.signature_def["serving_default"]
        feeds = {name: tensor.name for name, tensor in signature.inputs.items()}
        fetch = signature.outputs["score"].name
        return {
            "differences": [
                difference(reference, session, feeds, fetch, make()) for make in REQUESTS[file.stem.split("_")[0]]
            ],
            "variables": len(module.variables),
            "shape": [None if dim.size < 0 else dim.size for dim in signature.outputs["score"].tensor_shape.dim],
        }


def main(folder: Path) -> dict[str, Any]:
    """For each file the largest difference by request, the SavedModel's variables and its output's shape."""
    results = {}
    for file in sorted(folder.glob("*.onnx")):
        with tempfile.TemporaryDirectory() as made:
            results[file.stem] = check(file, Path(made))
    return results
