"""Pools. Channels go last around TensorFlow's kernels; what these do not know is a maximum over shifted slices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import along, at_least, dims, product, rank
from export.onnx_tensorflow.node import Function, Node, Table
from export.onnx_tensorflow.windows import (
    Pads,
    Window,
    channels_first,
    channels_last,
    padded,
    pads_of,
    spatial,
    window_of,
)


def _ceiled(node: Node, sizes: list[Any], window: Window, pads: Pads) -> Pads:
    """The pads with what ``ceil_mode`` adds behind; a window that would start there is not made."""
    if not node.get("ceil_mode", 0):
        return [(0, 0)] * len(sizes)
    more = []
    for size, (before, after), reach, stride in zip(sizes, pads, window.reach, window.strides, strict=True):
        steps = -(-(size + before + after - reach) // stride)
        last = steps * stride
        if isinstance(last, int) and isinstance(size, int):
            last = last - stride if last >= size + before else last
        else:
            last = tf.where(last >= size + before, last - stride, last)
        more.append((0, at_least(last + reach - size - before - after, 0)))
    return more


def max_pool(node: Node, x: Any) -> Any:
    window = window_of(node, list(node.get("kernel_shape")))
    pads = pads_of(node, spatial(x), window)
    more = _ceiled(node, spatial(x), window, pads)
    both = [(before, after + extra) for (before, after), (_, extra) in zip(pads, more, strict=True)]
    data = padded(x, both, x.dtype.min if x.dtype.is_integer else float("-inf"))
    if node.wants(1):
        return _max_with_indices(node, x, data, both, window)
    if max(window.dilations) > 1 or x.dtype == tf.float64:
        return _over_taps(tf.maximum, data, window)
    return _pooled(tf.nn.max_pool, data, window)


def average_pool(node: Node, x: Any) -> Any:
    window = window_of(node, list(node.get("kernel_shape")))
    pads = pads_of(node, spatial(x), window)
    more = _ceiled(node, spatial(x), window, pads)
    both = [(before, after + extra) for (before, after), (_, extra) in zip(pads, more, strict=True)]
    average = _average(padded(x, both), window)
    counted, zeros = (pads, more) if node.get("count_include_pad", 0) else ([(0, 0)] * len(pads), both)
    if all(isinstance(width, int) and width == 0 for pair in zeros for width in pair):
        return average
    # The share of each window that counts.
    ones = tf.ones([1, 1, *(size + sum(pair) for size, pair in zip(spatial(x), counted, strict=True))], x.dtype)
    return average / _average(padded(ones, zeros), window)


def _average(data: Any, window: Window) -> Any:
    if max(window.dilations) > 1 or data.dtype == tf.float64:
        return _over_taps(tf.add, data, window) / math.prod(window.kernel)
    return _pooled(tf.nn.avg_pool, data, window)


def lp_pool(node: Node, x: Any) -> Any:
    p = node.get("p", 2)
    window = window_of(node, list(node.get("kernel_shape")))
    pads = pads_of(node, spatial(x), window)
    more = _ceiled(node, spatial(x), window, pads)
    both = [(before, after + extra) for (before, after), (_, extra) in zip(pads, more, strict=True)]
    return tf.pow(_over_taps(tf.add, tf.pow(tf.abs(padded(x, both)), p), window), 1 / p)


def _pooled(pool: Callable[..., Any], data: Any, window: Window) -> Any:
    kernel, strides = window.kernel, window.strides
    if rank(data) == 3:
        lifted = channels_last(data[..., tf.newaxis])
        return tf.squeeze(channels_first(pool(lifted, [*kernel, 1], [*strides, 1], "VALID")), 3)
    return channels_first(pool(channels_last(data), kernel, strides, "VALID"))


def _taps(data: Any, window: Window) -> Iterator[tuple[tuple[int, ...], Any]]:
    """For every place in the window the elements that all windows have there."""
    counts = [
        (size - reach) // stride + 1
        for size, reach, stride in zip(spatial(data), window.reach, window.strides, strict=True)
    ]
    for place in itertools.product(*map(range, window.kernel)):
        starts = [index * step for index, step in zip(place, window.dilations, strict=True)]
        parts = [
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(starts, counts, window.strides, strict=True)
        ]
        yield place, data[(slice(None), slice(None), *parts)]


def _over_taps(join: Callable[[Any, Any], Any], data: Any, window: Window) -> Any:
    taps = (tap for _, tap in _taps(data, window))
    result = next(taps)
    for tap in taps:
        result = join(result, tap)
    return result


def _max_with_indices(node: Node, x: Any, data: Any, pads: Pads, window: Window) -> Any:
    """Indices are places in the flattened input, padding not counted; the first of equals wins."""
    sizes, count = dims(x), rank(x)
    strides = [product(sizes[axis + 1 :]) for axis in range(count)]
    if node.get("storage_order", 0):  # the spatial axes column by column
        strides[2:] = [product(sizes[2:axis]) for axis in range(2, count)]
    places: Any = tf.zeros([1] * count, tf.int64)
    for axis in range(count):
        begin = 0 if axis < 2 else pads[axis - 2][0]
        length = dims(data)[axis]
        own = tf.cast(tf.range(length) - begin, tf.int64)
        places = places + along(own, axis, count) * tf.cast(strides[axis], tf.int64)
    taps = [tap for _, tap in _taps(data, window)]
    where = [tap for _, tap in _taps(places, window)]
    best, index = taps[0], where[0]
    for tap, place in zip(taps[1:], where[1:], strict=True):
        index = tf.where(tap > best, place, index)
        best = tf.maximum(best, tap)
    return best, index


def over_space(reduce: Callable[..., Any]) -> Function:
    """A pool whose window is the whole image."""
    return lambda node, x: reduce(node, x, list(range(2, rank(x))))


OPS: Table = {
    "AveragePool": average_pool,
    "GlobalAveragePool": over_space(lambda node, x, axes: tf.reduce_mean(x, axes, keepdims=True)),
    "GlobalLpPool": over_space(
        lambda node, x, axes: tf.pow(
            tf.reduce_sum(tf.pow(tf.abs(x), node.get("p", 2)), axes, keepdims=True), 1 / node.get("p", 2)
        )
    ),
    "GlobalMaxPool": over_space(lambda node, x, axes: tf.reduce_max(x, axes, keepdims=True)),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
