"""Operators that look along axes: reductions, running sums, largest elements, softmax."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import axis_of, dims, move, product, rank
from export.onnx_tensorflow.node import Function, Node, Table

AXES_ARE_INPUTS_SINCE = {"ReduceSum": 13}
AXES_ARE_INPUTS = 18  # for the other reductions


def reduction(function: Callable[..., Any]) -> Function:
    """A reduction of ONNX from one of TensorFlow; no axes are all axes, unless the node says that they are none."""

    def reduce(node: Node, x: Any, axes: Any = None) -> Any:
        if node.opset < AXES_ARE_INPUTS_SINCE.get(node.operation.op, AXES_ARE_INPUTS):
            axes = node.get("axes")
        elif axes is not None:
            known = node.ints(1)
            axes = axes if known is None else known or None
        if axes is None and node.get("noop_with_empty_axes", 0):
            axes = []
        return function(x, axis=axes, keepdims=bool(node.get("keepdims", 1)))

    return reduce


def _reduce_either(of_numbers: Callable[..., Any], of_bools: Callable[..., Any], x: Any, **how: Any) -> Any:
    return of_bools(x, **how) if x.dtype == tf.bool else of_numbers(x, **how)


def _reduce_l1(x: Any, **how: Any) -> Any:
    return tf.reduce_sum(tf.abs(x), **how)


def _reduce_l2(x: Any, **how: Any) -> Any:
    squares = tf.reduce_sum(tf.square(x), **how)
    return tf.sqrt(squares) if x.dtype.is_floating else tf.cast(tf.sqrt(tf.cast(squares, tf.float64)), x.dtype)


def _reduce_log_sum(x: Any, **how: Any) -> Any:
    return _through_floats(tf.math.log, tf.reduce_sum(x, **how))


def _reduce_log_sum_exp(x: Any, **how: Any) -> Any:
    return _through_floats(lambda floats: tf.reduce_logsumexp(floats, **how), x)


def _reduce_sum_square(x: Any, **how: Any) -> Any:
    return tf.reduce_sum(tf.square(x), **how)


def _through_floats(function: Callable[[Any], Any], x: Any) -> Any:
    return function(x) if x.dtype.is_floating else tf.cast(function(tf.cast(x, tf.float64)), x.dtype)


def _arg(function: Callable[..., Any]) -> Function:
    def find(node: Node, x: Any) -> Any:
        axis = axis_of(node.get("axis", 0), rank(x))
        if node.get("select_last_index", 0):
            last = tf.cast(tf.shape(x)[axis], tf.int64) - 1
            index = last - function(tf.reverse(x, [axis]), axis=axis, output_type=tf.int64)
        else:
            index = function(x, axis=axis, output_type=tf.int64)
        return tf.expand_dims(index, axis) if node.get("keepdims", 1) else index

    return find


def cumulate(function: Callable[..., Any]) -> Function:
    def run(node: Node, x: Any, axis: Any) -> Any:
        known = node.ints(1)
        axis = tf.reshape(axis, []) if known is None else known[0]
        return function(x, axis=axis, exclusive=bool(node.get("exclusive", 0)), reverse=bool(node.get("reverse", 0)))

    return run


def top_k(node: Node, x: Any, k: Any = None) -> Any:
    """The smallest are the largest of the reversed order; ``invert`` reverses integers without overflow."""
    axis = axis_of(node.get("axis", -1), rank(x))
    known = node.ints(1)
    count = node.get("k") if k is None else known[0] if known else tf.cast(tf.reshape(k, []), tf.int32)
    turned = tf.negative if x.dtype.is_floating else tf.bitwise.invert
    largest = bool(node.get("largest", 1))
    values, indices = tf.math.top_k(move(x if largest else turned(x), axis, -1), count, sorted=True)
    values = values if largest else turned(values)
    return move(values, -1, axis), tf.cast(move(indices, -1, axis), tf.int64)


def flattened(function: Callable[[Any, int], Any]) -> Function:
    """Softmax and its kin: along one axis since opset 13, over everything from an axis on before."""

    def run(node: Node, x: Any) -> Any:
        count = rank(x)
        if node.opset >= 13:
            return function(x, axis_of(node.get("axis", -1), count))
        sizes, axis = dims(x), axis_of(node.get("axis", 1), count)
        if axis == count - 1:
            return function(x, axis)
        return tf.reshape(function(tf.reshape(x, [product(sizes[:axis]), product(sizes[axis:])]), 1), sizes)

    return run


def _hardmax(x: Any, axis: int) -> Any:
    return tf.one_hot(tf.argmax(x, axis=axis), tf.shape(x)[axis], axis=axis, dtype=x.dtype)


OPS: Table = {
    "ArgMax": _arg(tf.argmax),
    "ArgMin": _arg(tf.argmin),
    "CumProd": cumulate(tf.math.cumprod),
    "CumSum": cumulate(tf.math.cumsum),
    "Hardmax": flattened(_hardmax),
    "LogSoftmax": flattened(tf.nn.log_softmax),
    "ReduceL1": reduction(_reduce_l1),
    "ReduceL2": reduction(_reduce_l2),
    "ReduceLogSum": reduction(_reduce_log_sum),
    "ReduceLogSumExp": reduction(_reduce_log_sum_exp),
    "ReduceMax": reduction(functools.partial(_reduce_either, tf.reduce_max, tf.reduce_any)),
    "ReduceMean": reduction(tf.reduce_mean),
    "ReduceMin": reduction(functools.partial(_reduce_either, tf.reduce_min, tf.reduce_all)),
    "ReduceProd": reduction(tf.reduce_prod),
    "ReduceSum": reduction(tf.reduce_sum),
    "ReduceSumSquare": reduction(_reduce_sum_square),
    "Softmax": flattened(tf.nn.softmax),
    "TopK": top_k,
}
