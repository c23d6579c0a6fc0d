"""Normalisations, as they are at inference."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import along, axis_of, dims, rank
from export.onnx_tensorflow.node import DTYPES, Node, Table


def batch_normalization(node: Node, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    factor = tf.cast(scale, variance.dtype) * tf.math.rsqrt(variance + node.get("epsilon", 1e-5))
    shift = tf.cast(bias, mean.dtype) - mean * factor
    axis, count = min(1, rank(x) - 1), rank(x)
    return x * along(tf.cast(factor, x.dtype), axis, count) + along(tf.cast(shift, x.dtype), axis, count)


def batch_normalization_limit(node: Any) -> str | None:
    if node.attributes.get("training_mode", 0):
        return "in training mode is not inference"
    return "with spatial=0 is not supported" if node.attributes.get("spatial", 1) == 0 else None


def _standardised(x: Any, axes: list[int], epsilon: float) -> tuple[Any, Any, Any]:
    mean = tf.reduce_mean(x, axes, keepdims=True)
    centred = x - mean
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True) + epsilon)
    return centred * inverse, mean, inverse


def instance_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    count = rank(x)
    normal, _, _ = _standardised(x, list(range(2, count)), node.get("epsilon", 1e-5))
    return normal * along(scale, 1, count) + along(bias, 1, count)


def layer_normalization(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    axis, stash = axis_of(node.get("axis", -1), rank(x)), DTYPES[node.get("stash_type", 1)]
    stash = x.dtype if x.dtype == tf.float64 else stash
    normal, mean, inverse = _standardised(tf.cast(x, stash), list(range(axis, rank(x))), node.get("epsilon", 1e-5))
    result = tf.cast(normal, x.dtype) * scale
    return result if bias is None else result + bias, mean, inverse


def rms_normalization(node: Node, x: Any, scale: Any) -> Any:
    axis, stash = axis_of(node.get("axis", -1), rank(x)), DTYPES[node.get("stash_type", 1)]
    wide = tf.cast(x, x.dtype if x.dtype == tf.float64 else stash)
    square = tf.reduce_mean(tf.square(wide), list(range(axis, rank(x))), keepdims=True)
    return tf.cast(wide * tf.math.rsqrt(square + node.get("epsilon", 1e-5)), x.dtype) * scale


def group_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    """Scale and bias are per group before opset 21, per channel since."""
    sizes, groups = dims(x), node.get("num_groups")
    batch, channels = sizes[:2]
    split = tf.reshape(x, [batch, groups, channels // groups, *sizes[2:]])
    normal, _, _ = _standardised(split, list(range(2, len(sizes) + 1)), node.get("epsilon", 1e-5))
    if node.opset < 21:
        normal = normal * along(scale, 1, len(sizes) + 1) + along(bias, 1, len(sizes) + 1)
        return tf.reshape(normal, sizes)
    return tf.reshape(normal, sizes) * along(scale, 1, len(sizes)) + along(bias, 1, len(sizes))


def mean_variance_normalization(node: Node, x: Any) -> Any:
    axes = list(node.get("axes", [0, 2, 3]))
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    return centred / (tf.sqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True)) + 1e-9)


def lp_normalization(node: Node, x: Any) -> Any:
    axis = node.get("axis", -1)
    if node.get("p", 2) == 1:
        norm = tf.reduce_sum(tf.abs(x), axis, keepdims=True)
    else:
        norm = tf.norm(x, axis=axis, keepdims=True)
    return tf.math.divide_no_nan(x, norm)


def lrn(node: Node, x: Any) -> Any:
    """The window may be of even size, which tf.nn.local_response_normalization does not know."""
    size, count = node.get("size"), rank(x)
    before = (size - 1) // 2
    channels = dims(x)[1]
    widths = [[before, size - 1 - before] if axis == 1 else [0, 0] for axis in range(count)]
    padded = tf.pad(tf.square(x), widths)
    squares = tf.add_n([padded[:, shift : shift + channels] for shift in range(size)])
    scale = node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * squares
    return x / tf.pow(scale, node.get("beta", 0.75))


OPS: Table = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": lrn,
    "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
}
