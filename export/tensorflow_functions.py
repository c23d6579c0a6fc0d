"""What Keras and TensorFlow sources share: named, traced functions, SavedModels and ONNX files made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf

from contract.config import Model
from contract.tensors import DTYPES, Array, Tensors, TensorSpec
from export.onnx_nodes import nodes
from export.refused import Refused, quoting
from export.trained import named_outputs

ONNX_OPSET = 18  # tf2onnx knows 14 to 18
ONNX_IR = 10  # the newest that ONNX Runtime 1.19 and 1.20 (Triton 24.10 to 25.02) load


def signature(specs: Sequence[TensorSpec]) -> list[Any]:
    """The input signature of a tf.function: named axes are None."""
    return [
        tf.TensorSpec(
            [None if size == -1 else size for size in spec.shape],
            tf.as_dtype(DTYPES[spec.dtype].tensorflow),
            name=spec.name,
        )
        for spec in specs
    ]


def named(model: Model, network: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """The network as a function of the inputs in order that returns {output name: tensor}."""

    def call(*inputs: Any) -> dict[str, Any]:
        return dict(named_outputs(model, network(*inputs)))

    return call


def answer(function: Callable[..., dict[str, Any]], inputs: Sequence[TensorSpec]) -> Callable[[Tensors], Tensors]:
    """Ask a function with arrays, in eager mode."""

    def ask(tensors: Tensors) -> Tensors:
        given = [tf.constant(_plain(tensors[spec.name]), dtype=DTYPES[spec.dtype].tensorflow) for spec in inputs]
        return {name: value.numpy() for name, value in function(*given).items()}

    return ask


def _plain(array: Array) -> Any:
    return array.tolist() if array.dtype == object else array


def concrete(model: Model, function: Callable[..., dict[str, Any]]) -> Any:
    """Trace a function through AutoGraph, every named axis dynamic."""
    with quoting("tf.function"):
        return tf.function(function, input_signature=signature(model.inputs)).get_concrete_function()


def function_to_onnx(model: Model, function: Callable[..., dict[str, Any]], path: Path) -> str:
    """Convert a traced function with tf2onnx, batch and every named axis dynamic."""
    import tf2onnx

    with quoting("tf2onnx"):
        traced = tf.function(function, input_signature=signature(model.inputs))
        converted, _ = tf2onnx.convert.from_function(traced, input_signature=signature(model.inputs), opset=ONNX_OPSET)
        keys = sorted(traced.get_concrete_function().structured_outputs)
    only_onnx(converted)
    rename(converted, {old.name: key for old, key in zip(converted.graph.output, keys, strict=True)})
    converted.ir_version = ONNX_IR
    onnx.save(converted, str(path))
    return f"tf2onnx.convert.from_function, opset {ONNX_OPSET}"


def only_onnx(converted: Any) -> None:
    """Raise Refused where tf2onnx left operations of TensorFlow in the graph: it only logs that."""
    left = sorted(
        {node.op_type for node in nodes(converted.graph) if not node.domain and not onnx.defs.has(node.op_type)}
    )
    if left:
        raise Refused(f"tf2onnx: it has no ONNX for {', '.join(left)}")


def rename(converted: Any, names: dict[str, str]) -> None:
    """Give tensors of the graph, and of the graphs in it, other names: tf2onnx keeps TensorFlow's ('Identity:0')."""
    for node in nodes(converted.graph):
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
    for value in (*converted.graph.input, *converted.graph.output):
        value.name = names.get(value.name, value.name)
