"""Operators that make a tensor from a shape, an attribute or a range."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from export.onnx_tensorflow.dims import dims
from export.onnx_tensorflow.errors import UnsupportedOperators
from export.onnx_tensorflow.node import DTYPES, Node, Table
from export.onnx_tensorflow.ops_shape import shaped

CONSTANTS = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def constant(node: Node) -> Any:
    name, value = next(iter(node.operation.attributes.items()))
    return tf.constant(value if CONSTANTS[name] is None else np.asarray(value, CONSTANTS[name]))


def constant_limit(node: Any) -> str | None:
    unknown = set(node.attributes) - set(CONSTANTS)
    return f"with the attribute {unknown.pop()} is not supported" if unknown else None


def constant_of_shape(node: Node, shape: Any) -> Any:
    value = node.get("value")
    filler = tf.zeros([], tf.float32) if value is None else tf.constant(np.reshape(value, []))
    return shaped(tf.fill(shape, filler), node.partial(0))


def shape(node: Node, x: Any) -> Any:
    return tf.shape(x, tf.int64)[node.get("start", 0) : node.get("end")]


def size(node: Node, x: Any) -> Any:
    return tf.size(x, tf.int64)


def arange(node: Node, start: Any, limit: Any, delta: Any) -> Any:
    start, limit, delta = (tf.reshape(item, []) for item in (start, limit, delta))
    if start.dtype == tf.int16:  # has no kernel
        return tf.cast(tf.range(*(tf.cast(item, tf.int32) for item in (start, limit, delta))), tf.int16)
    return tf.range(start, limit, delta)


def eye_like(node: Node, x: Any) -> Any:
    height, width = dims(x)
    diagonal = tf.range(width)[tf.newaxis, :] - tf.range(height)[:, tf.newaxis] == node.get("k", 0)
    return tf.cast(diagonal, DTYPES[node.get("dtype")] if node.get("dtype") else x.dtype)


def dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """Inference: everything is kept."""
    known = False if training is None else tf.get_static_value(training)
    if known is None or known:
        raise UnsupportedOperators("operator Dropout in training mode is not inference")
    return tf.identity(x), tf.ones_like(x, tf.bool if node.opset >= 10 else x.dtype)


OPS: Table = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Dropout": dropout,
    "EyeLike": eye_like,
    "Range": arange,
    "Shape": shape,
    "Size": size,
}
