"""The operators' own tests out of the onnx package as an oracle, which knows nothing of ONNX Runtime.

Inputs have no static sizes, but for two things: what gives shapes, axes and the like is a constant, as exporters write
it, and an operator that needs the last size of its indices gets it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from contract.tensors import Array
from export.onnx_tensorflow import UnsupportedOperators, import_graph

INDEXED = {"GatherND", "ScatterND"}
# Half precision is exact to its own last place only.
TOLERANCES = {onnx.TensorProto.FLOAT16: 2e-3, onnx.TensorProto.BFLOAT16: 2e-2}


def settle(model: Any, inputs: list[Array]) -> list[Array]:
    """Make constants of the integer vectors after the first input; returns the inputs that are left."""
    given, left = [], []
    for place, (info, array) in enumerate(zip(list(model.graph.input), inputs, strict=True)):
        if place and array.ndim <= 1 and array.dtype == np.int64:
            model.graph.initializer.append(numpy_helper.from_array(array, info.name))
        else:
            given.append(info)
            left.append(array)
    del model.graph.input[:]
    model.graph.input.extend(given)
    return left


def check(test: Any) -> None:
    inputs, outputs = ([_array(value) for value in side] for side in test.data_sets[0])
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    inputs = settle(model, inputs)
    fixed = any(node.op_type in INDEXED for node in model.graph.node)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, str(file))
        module = import_graph(file)
    signature = [
        tf.TensorSpec(array.shape if fixed else [None] * array.ndim, tf.as_dtype(port.dtype))
        for array, port in zip(inputs, module.inputs, strict=True)
    ]
    function = tf.function(module.__call__, input_signature=signature, autograph=False)
    actual = function(*map(tf.constant, inputs))
    kinds = [info.type.tensor_type.elem_type for info in (*model.graph.input, *model.graph.output)]
    tolerance = max([1e-3, *(TOLERANCES.get(kind, 0) for kind in kinds)])
    for port, expected in zip(module.outputs, outputs, strict=True):
        array = actual[port.name].numpy()
        assert array.dtype == expected.dtype, f"{port.name} is {array.dtype}, expected {expected.dtype}"
        assert array.shape == expected.shape, f"{port.name} is {array.shape}, expected {expected.shape}"
        wide = np.complex128 if array.dtype.kind == "c" else np.float64
        np.testing.assert_allclose(array.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance / 100)


def _array(value: Any) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def main() -> dict[str, Any]:
    """Which passed; which are beyond the importer, by its own word; which failed, and why."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    passed, refused, failed = [], {}, {}
    for test in collect_testcases(None):
        if "_expanded" in test.name:
            continue  # the same again by the operator's definition, as which unknown operators are imported anyway
        if any(isinstance(value, list | str | None) for side in test.data_sets[0] for value in side):
            continue  # sequences, optionals and strings
        try:
            check(test)
            passed.append(test.name)
        except UnsupportedOperators as error:
            refused[test.name] = str(error)
        except Exception as error:
            failed[test.name] = f"{type(error).__name__}: {error}"
    return {"passed": passed, "refused": refused, "failed": failed}
