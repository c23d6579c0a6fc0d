"""Operators that pick elements or put them somewhere. Negative indices count from the end in all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from export.onnx_tensorflow.dims import along, axis_of, dims, product, rank
from export.onnx_tensorflow.node import Node, Table

INT32 = np.iinfo(np.int32)


def from_start(indices: Any, size: Any) -> Any:
    """Indices without negative ones."""
    known = tf.get_static_value(indices)
    if known is not None and (known >= 0).all():
        return indices
    return tf.where(indices < 0, indices + tf.cast(size, indices.dtype), indices)


def gather(node: Node, x: Any, indices: Any) -> Any:
    axis = axis_of(node.get("axis", 0), rank(x))
    return tf.gather(x, from_start(indices, dims(x)[axis]), axis=axis)


def _flat_places(indices: Any, sizes: list[Any], axis: int) -> Any:
    """For every index along ``axis`` the place of its element in the flattened tensor."""
    count = len(sizes)
    shape = dims(indices)
    places = tf.cast(from_start(indices, sizes[axis]), tf.int64)
    total: Any = 0
    for position in range(count):
        stride = tf.cast(product(sizes[position + 1 :]), tf.int64)
        own = places if position == axis else along(tf.range(tf.cast(shape[position], tf.int64)), position, count)
        total = total + own * stride
    return total


def gather_elements(node: Node, x: Any, indices: Any) -> Any:
    axis = axis_of(node.get("axis", 0), rank(x))
    return tf.gather(tf.reshape(x, [-1]), _flat_places(indices, dims(x), axis))


def gather_nd(node: Node, x: Any, indices: Any) -> Any:
    batch, depth = node.get("batch_dims", 0), indices.shape[-1]
    return tf.gather_nd(x, from_start(indices, tf.shape(x)[batch : batch + depth]), batch_dims=batch)


def _scatter(data: Any, places: Any, updates: Any, reduction: str) -> Any:
    """Put ``updates[i]`` at ``data[places[i]]``."""
    where = tf.expand_dims(places, -1)
    if reduction == "mul":  # has no kernel of its own; a product over no updates is 1
        return data * tf.math.unsorted_segment_prod(updates, places, tf.shape(data, tf.int64)[0])
    put = {
        "none": tf.tensor_scatter_nd_update,
        "add": tf.tensor_scatter_nd_add,
        "max": tf.tensor_scatter_nd_max,
        "min": tf.tensor_scatter_nd_min,
    }[reduction]
    return put(data, where, updates)


def scatter_elements(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    axis = axis_of(node.get("axis", 0), rank(x))
    places = tf.reshape(_flat_places(indices, dims(x), axis), [-1])
    flat = _scatter(tf.reshape(x, [-1]), places, tf.reshape(updates, [-1]), node.get("reduction", "none"))
    return tf.reshape(flat, dims(x))


def scatter_nd(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    sizes, depth = dims(x), indices.shape[-1]
    outer, inner = product(sizes[:depth]), product(sizes[depth:])
    strides = [tf.cast(product(sizes[place + 1 : depth]), tf.int64) for place in range(depth)]
    positive = tf.cast(from_start(indices, tf.shape(x)[:depth]), tf.int64)
    places = tf.reshape(tf.reduce_sum(positive * tf.stack(strides), -1), [-1])
    rows = tf.reshape(updates, [tf.size(places), inner])
    return tf.reshape(_scatter(tf.reshape(x, [outer, inner]), places, rows, node.get("reduction", "none")), sizes)


def slices(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    """numpy's slices, whose clamping TensorFlow shares; the axes have to be known."""
    if node.opset < 10:
        first, last = node.get("starts"), node.get("ends")
        places, strides = node.get("axes", range(len(first))), [1] * len(first)
    else:
        first, last = _bounds(node, 1, starts), _bounds(node, 2, ends)
        given = node.ints(3)
        if axes is not None and given is None:
            raise ValueError(f"the axes of Slice '{node.operation.name}' depend on the input of the model")
        places = range(len(first)) if axes is None else given
        strides = [1] * len(first) if steps is None else _bounds(node, 4, steps)
    count = rank(x)
    parts = [slice(None)] * count
    for axis, *bounds in zip(places, first, last, strides, strict=True):
        parts[axis_of(axis, count)] = slice(*(_int32(bound) for bound in bounds))
    return x[tuple(parts)] if parts else x


def _bounds(node: Node, index: int, tensor: Any) -> list[Any]:
    """Ints as far as they are known."""
    known = node.ints(index)
    return tf.unstack(tensor) if known is None else known


def _int32(bound: Any) -> Any:
    """INT64_MAX means the end; TensorFlow's slices are of int32."""
    if isinstance(bound, int):
        return max(INT32.min, min(bound, INT32.max))
    return tf.cast(tf.clip_by_value(bound, INT32.min, INT32.max), tf.int32)


def one_hot(node: Node, indices: Any, depth: Any, values: Any) -> Any:
    size = tf.cast(tf.reshape(depth, []), tf.int32)
    places = tf.cast(indices, tf.int64)
    places = tf.where(places < 0, places + tf.cast(size, tf.int64), places)
    axis = axis_of(node.get("axis", -1), rank(indices) + 1)
    return tf.one_hot(places, size, on_value=values[1], off_value=values[0], axis=axis)


def non_zero(node: Node, x: Any) -> Any:
    return tf.transpose(tf.where(tf.not_equal(x, tf.zeros([], x.dtype))))


def unique(node: Node, x: Any) -> Any:
    """TensorFlow keeps the order of first appearance; ONNX sorts unless told not to."""
    flat = tf.reshape(x, [-1])
    values, inverse, counts = tf.unique_with_counts(flat, tf.int64)
    first = tf.math.unsorted_segment_min(tf.range(tf.size(flat, tf.int64)), inverse, tf.size(values, tf.int64))
    if node.get("sorted", 1):
        order = tf.argsort(values)
        values, first, counts = tf.gather(values, order), tf.gather(first, order), tf.gather(counts, order)
        inverse = tf.gather(tf.cast(tf.math.invert_permutation(order), tf.int64), inverse)
    return values, first, inverse, counts


def unique_limit(node: Any) -> str | None:
    return "along an axis is not supported" if "axis" in node.attributes else None


OPS: Table = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonZero": non_zero,
    "OneHot": one_hot,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Slice": slices,
    "Unique": unique,
}
