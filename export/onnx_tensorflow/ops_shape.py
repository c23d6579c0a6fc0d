"""Operators that change a tensor's shape or order, and not its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from export.onnx_tensorflow.dims import at_least, axis_of, dims, product, rank
from export.onnx_tensorflow.node import UNKNOWN, Array, Node, Table

AXES_ARE_INPUTS = 13  # of Squeeze and Unsqueeze, and the sizes of Split


def shaped(tensor: Any, partial: Array | None) -> Any:
    """The tensor with the static shape that a shape input is known to give it."""
    if partial is not None:
        tensor.set_shape([None if size < 0 else int(size) for size in partial])
    return tensor


def axes_of(node: Node, index: int = 1) -> list[int] | None:
    """Axes from the attribute of old opsets or the input of new ones, which has to be known."""
    if node.opset < AXES_ARE_INPUTS:
        axes: list[int] | None = node.get("axes")
        return axes
    if len(node.operation.inputs) <= index or not node.operation.inputs[index]:
        return None
    known = node.ints(index)
    if known is None:
        raise ValueError(f"the axes of {node.operation.op} '{node.operation.name}' depend on the input of the model")
    return known


def reshape(node: Node, x: Any, shape: Any) -> Any:
    partial = node.partial(1)
    if node.get("allowzero", 0):
        return tf.reshape(x, shape)
    if partial is None:
        own = tf.cast(tf.shape(x), shape.dtype)
        count = tf.size(shape)
        own = tf.concat([own, tf.zeros([tf.maximum(count - tf.size(own), 0)], shape.dtype)], 0)[:count]
        return tf.reshape(x, tf.where(shape == 0, own, shape))
    sizes: list[Any] = []
    for place, size in enumerate(partial):
        if size == 0:
            sizes.append(dims(x)[place])
        else:
            sizes.append(tf.cast(shape[place], tf.int32) if size == UNKNOWN else int(size))
    # One hole and no -1 is a -1: then TensorFlow works out the size itself wherever the input's is static.
    holes = [place for place, size in enumerate(sizes) if not isinstance(size, int)]
    if len(holes) == 1 and all(size > 0 for size in sizes if isinstance(size, int)):
        sizes[holes[0]] = -1
    return tf.reshape(x, sizes)


def flatten(node: Node, x: Any) -> Any:
    sizes = dims(x)
    axis = axis_of(node.get("axis", 1), len(sizes))
    return tf.reshape(x, [product(sizes[:axis]), product(sizes[axis:])])


def squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    given = axes_of(node)
    return tf.squeeze(x, given) if given is None or given else x


def unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    given = axes_of(node) or []
    for axis in sorted(axis_of(axis, rank(x) + len(given)) for axis in given):
        x = tf.expand_dims(x, axis)
    return x


def transpose(node: Node, x: Any) -> Any:
    return tf.transpose(x, node.get("perm"))


def concat(node: Node, *inputs: Any) -> Any:
    return tf.concat(inputs, node.get("axis", 1))


def split(node: Node, x: Any, sizes: Any = None) -> Any:
    axis, count = axis_of(node.get("axis", 0), rank(x)), len(node.outputs)
    given = node.get("split") if node.opset < AXES_ARE_INPUTS else node.ints(1)
    if given is not None:
        return tf.split(x, given, axis)
    if sizes is not None:
        return tf.split(x, sizes, axis, num=count)
    # The last part is smaller when the axis does not divide.
    size = dims(x)[axis]
    part = -(-size // count)
    parts = [part] * (count - 1)
    return tf.split(x, [*parts, at_least(size - part * (count - 1), 0)], axis, num=count)


def expand(node: Node, x: Any, shape: Any) -> Any:
    """Broadcasting both ways: an axis of the input may be larger than that of the target."""
    target = tf.broadcast_dynamic_shape(tf.cast(tf.shape(x), shape.dtype), shape)
    result = tf.broadcast_to(x, target)
    partial = node.partial(1)
    if partial is not None:
        sizes = tf.TensorShape([None if size == UNKNOWN else int(size) for size in partial])
        result.set_shape(tf.broadcast_static_shape(x.shape, sizes))
    return result


def tile(node: Node, x: Any, repeats: Any) -> Any:
    if x.dtype == tf.uint16:  # has no kernel
        return tf.cast(tf.tile(tf.cast(x, tf.int32), repeats), x.dtype)
    result = tf.tile(x, repeats)
    counts = node.ints(1)
    if counts is not None and x.shape.rank is not None:
        result.set_shape([None if size is None else size * n for size, n in zip(x.shape, counts, strict=True)])
    return result


def pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    if node.opset < 11:
        begins, ends = np.reshape(node.get("pads", node.get("paddings")), (2, -1))
        value = node.get("value", 0.0)
    else:
        known = node.ints(1)
        begins, ends = (
            tf.unstack(tf.reshape(tf.cast(pads, tf.int32), [2, -1])) if known is None else np.reshape(known, (2, -1))
        )
    count = rank(x)
    places = [axis_of(axis, count) for axis in (node.ints(3) or range(count))]
    widths = {axis: (begins[place], ends[place]) for place, axis in enumerate(places)}
    mode = node.get("mode", "constant")
    if mode != "constant":
        for axis, (begin, end) in widths.items():
            if not (isinstance(begin, np.integer) and begin == 0 and end == 0):
                x = _pad_by_index(x, axis, begin, end, mode)
        return x
    fill = tf.zeros([], x.dtype) if value is None else tf.reshape(tf.cast(value, x.dtype), [])
    none = (np.int64(0), np.int64(0))
    both = [widths.get(axis, none) for axis in range(count)]
    return crop(
        tf.pad(x, [[at_least_zero(begin), at_least_zero(end)] for begin, end in both], constant_values=fill), both
    )


def at_least_zero(width: Any) -> Any:
    return max(int(width), 0) if isinstance(width, int | np.integer) else tf.maximum(width, 0)


def crop(x: Any, widths: list[tuple[Any, Any]]) -> Any:
    """What negative pads cut off."""
    if all(isinstance(width, int | np.integer) and width >= 0 for pair in widths for width in pair):
        return x
    sizes = dims(x)
    return x[
        tuple(
            slice(at_least_zero(-begin), sizes[axis] - at_least_zero(-end)) for axis, (begin, end) in enumerate(widths)
        )
    ]


def _pad_by_index(x: Any, axis: int, begin: Any, end: Any, mode: str) -> Any:
    """Any padding that repeats elements is a gather; it may be wider than the axis, which tf.pad refuses."""
    size = dims(x)[axis]
    places = tf.range(-begin, size + end, dtype=tf.int32)
    if mode == "edge":
        places = tf.clip_by_value(places, 0, size - 1)
    elif mode == "wrap":
        places = tf.math.floormod(places, size)
    else:
        period = at_least(2 * (size - 1), 1)
        places = tf.math.floormod(places, period)
        places = tf.minimum(places, period - places)
    return tf.gather(x, places, axis=axis)


def depth_to_space(node: Node, x: Any) -> Any:
    block, (batch, depth, height, width) = node.get("blocksize"), dims(x)
    rest = depth // (block * block)
    if node.get("mode", "DCR") == "DCR":
        parts = tf.transpose(tf.reshape(x, [batch, block, block, rest, height, width]), [0, 3, 4, 1, 5, 2])
    else:
        parts = tf.transpose(tf.reshape(x, [batch, rest, block, block, height, width]), [0, 1, 4, 2, 5, 3])
    return tf.reshape(parts, [batch, rest, height * block, width * block])


def space_to_depth(node: Node, x: Any) -> Any:
    block, (batch, depth, height, width) = node.get("blocksize"), dims(x)
    parts = tf.reshape(x, [batch, depth, height // block, block, width // block, block])
    order = [0, 3, 5, 1, 2, 4] if node.get("mode", "DCR") == "DCR" else [0, 1, 3, 5, 2, 4]
    return tf.reshape(tf.transpose(parts, order), [batch, depth * block * block, height // block, width // block])


def reverse_sequence(node: Node, x: Any, lengths: Any) -> Any:
    return tf.reverse_sequence(x, lengths, seq_axis=node.get("time_axis", 0), batch_axis=node.get("batch_axis", 1))


def trilu(node: Node, x: Any, k: Any = None) -> Any:
    height, width = dims(x)[-2:]
    offset = tf.range(width)[tf.newaxis, :] - tf.range(height)[:, tf.newaxis]
    limit = tf.constant(0) if k is None else tf.cast(tf.reshape(k, []), tf.int32)
    return tf.where(offset >= limit if node.get("upper", 1) else offset <= limit, x, tf.zeros([], x.dtype))


def compress(node: Node, x: Any, condition: Any) -> Any:
    axis = node.get("axis")
    data = tf.reshape(x, [-1]) if axis is None else x
    return tf.gather(data, tf.reshape(tf.where(condition), [-1]), axis=axis or 0)


def center_crop_pad(node: Node, x: Any, shape: Any) -> Any:
    sizes = dims(x)
    axes = [axis_of(axis, len(sizes)) for axis in node.get("axes", range(len(sizes)))]
    targets = dict(zip(axes, node.ints(1) or tf.unstack(tf.cast(shape, tf.int32), num=len(axes)), strict=True))
    widths = []
    for axis, size in enumerate(sizes):
        missing = targets.get(axis, size) - size
        # Odd differences: a pad puts the smaller half first, and so does a crop.
        before = missing // 2 if isinstance(missing, int) and missing >= 0 else -(-missing // 2)
        if not isinstance(missing, int):
            before = tf.where(missing >= 0, missing // 2, -(-missing // 2))
        widths.append((before, missing - before))
    return crop(tf.pad(x, [[at_least_zero(begin), at_least_zero(end)] for begin, end in widths]), widths)


OPS: Table = {
    "CenterCropPad": center_crop_pad,
    "Compress": compress,
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Identity": lambda node, x: tf.identity(x),
    "Pad": pad,
    "Reshape": reshape,
    "ReverseSequence": reverse_sequence,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
}
