"""Resize and Upsample, axis by axis: every output element is a weighted sum of a few elements along that axis.

Gathering along one axis after the other needs no layout and covers every coordinate mode at any rank.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import along, axis_of, dims, rank
from export.onnx_tensorflow.node import Node, Table


def upsample(node: Node, x: Any, scales: Any = None) -> Any:
    factors = node.get("scales") if scales is None else _scalars(scales, rank(x))
    for axis, factor in enumerate(factors):
        size = dims(x)[axis]
        length = tf.cast(tf.floor(tf.cast(size, tf.float32) * factor), tf.int32)
        x = _resized(node, x, axis, length, factor, None)
    return x


def resize(node: Node, x: Any, *inputs: Any) -> Any:
    roi, scales, sizes = (None, inputs[0], None) if node.opset < 11 else (*inputs, None, None, None)[:3]
    count = rank(x)
    axes = [axis_of(axis, count) for axis in node.get("axes", range(count))]
    regions = _regions(node, roi, len(axes))
    if sizes is None or sizes.shape[0] == 0:
        factors = _scalars(scales, len(axes))
        lengths = [_length(dims(x)[axis], factor) for axis, factor in zip(axes, factors, strict=True)]
    else:
        lengths, factors = _from_sizes(node, x, axes, sizes)
    for axis, length, factor, region in zip(axes, lengths, factors, regions, strict=True):
        x = _resized(node, x, axis, length, factor, region)
    return x


def resize_limit(node: Any) -> str | None:
    return "with antialias is not supported" if node.attributes.get("antialias", 0) else None


def _scalars(tensor: Any, count: int) -> list[Any]:
    known = tf.get_static_value(tensor)
    return tf.unstack(tensor, num=count) if known is None else [item.item() for item in known]


def _length(size: Any, factor: Any) -> Any:
    """The size of a scaled axis, in float32 as ONNX Runtime computes it."""
    if isinstance(factor, float) and factor == 1.0:
        return size
    return tf.cast(tf.floor(tf.cast(size, tf.float32) * factor), tf.int32)


def _regions(node: Node, roi: Any, count: int) -> list[Any]:
    if node.get("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        return [None] * count
    bounds = tf.unstack(tf.cast(roi, tf.float32), num=2 * count)
    return list(zip(bounds[:count], bounds[count:], strict=True))


def _from_sizes(node: Node, x: Any, axes: list[int], sizes: Any) -> tuple[list[Any], list[Any]]:
    lengths = [int(n) if isinstance(n, int) else tf.cast(n, tf.int32) for n in _scalars(sizes, len(axes))]
    own = [dims(x)[axis] for axis in axes]
    factors = [_ratio(length, size) for length, size in zip(lengths, own, strict=True)]
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return lengths, factors
    factor = (tf.reduce_min if policy == "not_larger" else tf.reduce_max)(tf.stack(factors))
    kept = [tf.cast(tf.floor(factor * tf.cast(size, tf.float32) + 0.5), tf.int32) for size in own]
    return kept, [factor] * len(axes)


def _ratio(length: Any, size: Any) -> Any:
    if isinstance(length, int) and isinstance(size, int):
        return length / size
    return tf.cast(length, tf.float32) / tf.cast(size, tf.float32)


def _resized(node: Node, x: Any, axis: int, length: Any, factor: Any, region: Any) -> Any:
    size = dims(x)[axis]
    if region is None and isinstance(factor, float) and factor == 1.0:
        return x
    places = _places(node, size, length, factor, region)
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        result = tf.gather(x, _clipped(_nearest(node, places), size), axis=axis)
    else:
        result = _weighed(node, x, axis, places, size, cubic=mode == "cubic")
    if region is not None:
        last = tf.cast(size - 1, tf.float32)
        outside = along(tf.logical_or(places < 0, places > last), axis, rank(x))
        result = tf.where(outside, tf.cast(node.get("extrapolation_value", 0.0), x.dtype), result)
    return result


def _places(node: Node, size: Any, length: Any, factor: Any, region: Any) -> Any:
    """Where in the input each output element lies, by ``coordinate_transformation_mode``."""
    default = "half_pixel" if node.opset >= 11 and node.operation.op == "Resize" else "asymmetric"
    mode = node.get("coordinate_transformation_mode", default)
    index = tf.range(tf.cast(length, tf.float32), dtype=tf.float32)
    old, new = tf.cast(size, tf.float32), tf.cast(length, tf.float32)
    factor = tf.cast(factor, tf.float32)
    if mode == "align_corners":
        return index * tf.math.divide_no_nan(old - 1, new - 1)
    if mode == "asymmetric":
        return index / factor
    if mode == "tf_half_pixel_for_nn":
        return (index + 0.5) / factor
    if mode == "tf_crop_and_resize":
        start, end = region
        step = tf.math.divide_no_nan((end - start) * (old - 1), new - 1)
        return tf.where(new > 1, start * (old - 1) + index * step, 0.5 * (start + end) * (old - 1))
    half = (index + 0.5) / factor - 0.5
    if mode == "pytorch_half_pixel":
        return tf.where(new > 1, half, tf.zeros_like(half))
    if mode == "half_pixel_symmetric":
        return old / 2 * (1 - new / (factor * old)) + half
    return half


def _nearest(node: Node, places: Any) -> Any:
    default = "round_prefer_floor" if node.opset >= 11 and node.operation.op == "Resize" else "floor"
    how = {
        "round_prefer_floor": lambda place: tf.math.ceil(place - 0.5),
        "round_prefer_ceil": lambda place: tf.floor(place + 0.5),
        "floor": tf.floor,
        "ceil": tf.math.ceil,
    }
    return tf.cast(how[node.get("nearest_mode", default)](places), tf.int32)


def _clipped(places: Any, size: Any) -> Any:
    return tf.clip_by_value(places, 0, size - 1)


def _weighed(node: Node, x: Any, axis: int, places: Any, size: Any, *, cubic: bool) -> Any:
    base = tf.floor(places)
    share = places - base
    if cubic:
        weights = _cubic(share, node.get("cubic_coeff_a", -0.75))
        steps = range(-1, 3)
    else:
        weights, steps = [1 - share, share], range(2)
    taps = [tf.cast(base, tf.int32) + step for step in steps]
    if node.get("exclude_outside", 0):
        inside = [tf.logical_and(tap >= 0, tap < size) for tap in taps]
        weights = [tf.where(keep, weight, 0.0) for keep, weight in zip(inside, weights, strict=True)]
        total = tf.add_n(weights)
        weights = [weight / total for weight in weights]
    wide = x if x.dtype.is_floating else tf.cast(x, tf.float32)
    result = tf.add_n(
        [
            tf.gather(wide, _clipped(tap, size), axis=axis) * along(tf.cast(weight, wide.dtype), axis, rank(x))
            for tap, weight in zip(taps, weights, strict=True)
        ]
    )
    return tf.cast(result, x.dtype)


def _cubic(share: Any, a: float) -> list[Any]:
    """Keys' four weights around a point."""
    near = [((a + 2) * t - (a + 3)) * t * t + 1 for t in (share, 1 - share)]
    far = [((a * t - 5 * a) * t + 8 * a) * t - 4 * a for t in (1 + share, 2 - share)]
    return [far[0], *near, far[1]]


OPS: Table = {"Resize": resize, "Upsample": upsample}
