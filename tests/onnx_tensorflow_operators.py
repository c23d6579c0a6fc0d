"""Run the single operators and small graphs in ONNX Runtime and in TensorFlow, in a process of the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnx.shape_inference
import onnxruntime
import tensorflow as tf
from onnx import helper, numpy_helper

from contract.tensors import Array
from export.onnx_tensorflow import OPS, import_graph
from tests.onnx_tensorflow_cases import CASES, SIZES, Case, Input
from tests.onnx_tensorflow_texts import HEADER, TEXTS

Feeds = dict[str, Array]
Outcome = dict[str, Any]


def model_of(case: Case) -> Any:
    """One node; the outputs' types are left to ONNX's inference."""
    names = [f"x{place}" if given else "" for place, given in enumerate(case.inputs)]
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in case.attributes.items()
    }
    outputs = [f"y{place}" for place in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, **attributes)
    infos, constants = [], []
    for name, given in zip(names, case.inputs, strict=True):
        if given is None:
            continue
        if given.constant is not None:
            constants.append(numpy_helper.from_array(given.constant, name))
        else:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(given.dtype))
            infos.append(helper.make_tensor_value_info(name, kind, list(given.shape)))
    graph = helper.make_graph([node], "case", infos, [onnx.ValueInfoProto(name=name) for name in outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for output in model.graph.output:
        if not output.type.tensor_type.elem_type:  # GroupNormalization has no inference
            output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model


def inputs_of(graph: Any) -> dict[str, Input]:
    """The inputs of a text's graph, in the form of the cases."""
    given = {}
    for info in graph.input:
        kind = info.type.tensor_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
        shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
        given[info.name] = Input(shape, dtype, *((1, 6) if dtype == "int64" else (-2.0, 2.0)))
    return given


def compare(model: Any, given: dict[str, Input], reference: str = "onnxruntime") -> Outcome:
    """The largest difference over all outputs at all sizes, relative above 1; a wrong dtype or shape is an error."""
    random = np.random.default_rng(8)
    requests = [{name: item.make(sizes, random) for name, item in given.items()} for sizes in SIZES]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, str(file))
        module = import_graph(file)
    answers: Callable[[Feeds], list[Array]]
    if reference == "onnx":
        evaluator = onnx.reference.ReferenceEvaluator(model)
        answers = lambda feeds: evaluator.run(None, feeds)  # noqa: E731
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        answers = lambda feeds: session.run(None, feeds)  # noqa: E731
    function = tf.function(module.__call__, input_signature=module.signature(), autograph=False)
    worst = 0.0
    for feeds in requests:
        actual = function(*(tf.constant(feeds[port.name]) for port in module.inputs))
        for port, expected in zip(module.outputs, answers(feeds), strict=True):
            array = actual[port.name].numpy()
            assert array.dtype == expected.dtype, f"{port.name} is {array.dtype}, expected {expected.dtype}"
            assert array.shape == expected.shape, f"{port.name} is {array.shape}, expected {expected.shape}"
            wide, other = array.astype(np.float64), expected.astype(np.float64)
            assert np.array_equal(np.isnan(wide), np.isnan(other)), f"{port.name} is NaN elsewhere"
            if array.size:
                worst = max(worst, float(np.nanmax(np.abs(wide - other) / np.maximum(1, np.abs(other)))))
    return {"difference": worst}


def attempt(check: Callable[[], Outcome]) -> Outcome:
    try:
        return check()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def check_case(case: Case) -> Outcome:
    given = {f"x{place}": item for place, item in enumerate(case.inputs) if item and item.constant is None}
    return compare(model_of(case), given, case.reference)


def check_text(text: str) -> Outcome:
    model = onnx.parser.parse_model(HEADER + text)
    return compare(model, inputs_of(model.graph))


def main() -> Outcome:
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # whole graphs test these
    results = {case.name: attempt(partial(check_case, case)) for case in CASES}
    results |= {name: attempt(partial(check_text, text)) for name, text in TEXTS.items()}
    return {"known": sorted(OPS), "results": results}
