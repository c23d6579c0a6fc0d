"""What the importer says of files that it does not take, and what it knows of shapes and weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import tensorflow as tf
from onnx import numpy_helper

from export.onnx_tensorflow import OnnxModule, UnsupportedOperators, import_graph

UNKNOWN = """<ir_version: 10, opset_import: ["" : 17, "com.acme" : 2]>
    g (float[n,3] x, bool flag) => (float[n,3] y) {
        a = com.acme.Fancy(x)
        b = If (flag) <
            then_branch = t () => (float[n,3] u) { u = StringNormalizer(a) },
            else_branch = e () => (float[n,3] v) { v = com.acme.Fancy(a) }
        >
        y = BatchNormalization<training_mode = 1>(b, b, b, b, b)
    }"""
OLD = """<ir_version: 3, opset_import: ["" : 6]> g (float[n,3] x) => (float[n,3] y) { y = Relu(x) }"""
FUNCTION = """<ir_version: 10, opset_import: ["" : 17, "own" : 1]>
    g (float[n,3] x) => (float[n,3] y) { y = own.twice(x) }
    <domain: "own", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }"""
SHAPES = """<ir_version: 10, opset_import: ["" : 17]>
    g (float[n,m,6] x) => (float[n,2,r] y) {
        shape = Shape(x)
        two = Constant<value = int64 {2}>()
        last = Gather(shape, two)
        half = Div(last, two)
        axes = Constant<value = int64[1] {0}>()
        halves = Unsqueeze(half, axes)
        rest = Constant<value = int64[2] {-1, 2}>()
        target = Concat<axis=0>(rest, halves)
        y = Reshape(x, target)
    }"""
WEIGHTS = """<ir_version: 10, opset_import: ["" : 17]>
    g (float[n,16] x) => (float[n,8] y) { p = MatMul(x, w)  y = Add(p, bias) }"""


def imported(model: Any, folder: Path, *, beside: bool = False) -> OnnxModule:
    file = folder / "model.onnx"
    onnx.save(model, str(file), save_as_external_data=beside, size_threshold=0, location="weights.bin")
    return import_graph(file)


def refusal(text: str, folder: Path) -> str | None:
    try:
        imported(onnx.parser.parse_model(text), folder)
    except UnsupportedOperators as error:
        return str(error)
    return None


def with_weights() -> Any:
    model = onnx.parser.parse_model(WEIGHTS)
    arrays = {"w": np.ones((16, 8), np.float32), "bias": np.ones(8, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return facts(Path(folder))


def facts(folder: Path) -> dict[str, Any]:
    shaped = imported(onnx.parser.parse_model(SHAPES), folder)
    function = tf.function(shaped.__call__, input_signature=shaped.signature(), autograph=False)
    weighed = imported(with_weights(), folder, beside=True)
    own = imported(onnx.parser.parse_model(FUNCTION), folder)
    return {
        "unknown": refusal(UNKNOWN, folder),
        "old": refusal(OLD, folder),
        "function": own(tf.ones([2, 3]))["y"].numpy().tolist(),
        "shape": function.get_concrete_function().structured_outputs["y"].shape.as_list(),
        "variables": {variable.name: variable.shape.as_list() for variable in weighed.variables},
        "trainable": len(weighed.trainable_variables),
        "sum": float(tf.reduce_sum(weighed(tf.ones([2, 16]))["y"])),
        "inputs": [list(port) for port in weighed.inputs],
        "outputs": [list(port) for port in weighed.outputs],
    }
