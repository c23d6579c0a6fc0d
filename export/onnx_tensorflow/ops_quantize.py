"""Quantisation, in the integer arithmetic that the file asks for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import along, axis_of, rank
from export.onnx_tensorflow.node import DTYPES, Node, Table
from export.onnx_tensorflow.ops_convolution import conv
from export.onnx_tensorflow.ops_math import matmul


def _spread(node: Node, value: Any, x: Any) -> Any:
    """A scale per tensor, or per slice along ``axis``."""
    if value.shape.rank == 0 or value.shape == [1]:
        return tf.reshape(value, [])
    return along(value, axis_of(node.get("axis", 1), rank(x)), rank(x))


def dequantize(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    wide = tf.cast(x, tf.int32)
    shifted = wide if zero is None else wide - _spread(node, tf.cast(zero, tf.int32), x)
    return tf.cast(shifted, scale.dtype) * _spread(node, scale, x)


def quantize(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    target = DTYPES[node.get("output_dtype", 0) or 2] if zero is None else zero.dtype
    steps = tf.round(tf.cast(x, tf.float32) / _spread(node, tf.cast(scale, tf.float32), x))
    shifted = steps if zero is None else steps + _spread(node, tf.cast(zero, tf.float32), x)
    return tf.cast(tf.clip_by_value(shifted, target.min, target.max), target)


def block_limit(node: Any) -> str | None:
    return "with blocks is not supported" if node.attributes.get("block_size", 0) else None


def dynamic_quantize(node: Node, x: Any) -> Any:
    low, high = tf.minimum(tf.reduce_min(x), 0), tf.maximum(tf.reduce_max(x), 0)
    scale = (high - low) / 255
    scale = tf.where(tf.equal(scale, 0), tf.ones_like(scale), scale)
    zero = tf.clip_by_value(tf.round(-low / scale), 0, 255)
    return tf.cast(tf.clip_by_value(tf.round(x / scale) + zero, 0, 255), tf.uint8), scale, tf.cast(zero, tf.uint8)


def matmul_integer(node: Node, x: Any, y: Any, x_zero: Any = None, y_zero: Any = None) -> Any:
    left, right = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
    if x_zero is not None:
        zero = tf.cast(x_zero, tf.int32)
        left -= zero if zero.shape.rank != 1 else tf.reshape(zero, [-1, 1])
    if y_zero is not None:
        right -= tf.cast(y_zero, tf.int32)
    return matmul(node, left, right)


def conv_integer(node: Node, x: Any, filters: Any, x_zero: Any = None, filters_zero: Any = None) -> Any:
    """There is no integer convolution on CPUs; float64 holds every sum exactly."""
    data, kernel = tf.cast(x, tf.float64), tf.cast(filters, tf.float64)
    if x_zero is not None:
        data -= tf.reshape(tf.cast(x_zero, tf.float64), [])
    if filters_zero is not None:
        zero = tf.cast(filters_zero, tf.float64)
        kernel -= zero if zero.shape.rank == 0 else along(zero, 0, rank(filters))
    return tf.cast(conv(node, data, kernel), tf.int32)


OPS: Table = {
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": dynamic_quantize,
    "MatMulInteger": matmul_integer,
    "QuantizeLinear": quantize,
}
