"""Convolutions. The graph stays channels-first; the kernels, which on CPUs want channels last, are wrapped."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import along, at_least, dims, rank
from export.onnx_tensorflow.node import Node, Table
from export.onnx_tensorflow.windows import Window, channels_first, channels_last, padded, pads_of, spatial, window_of


def conv(node: Node, x: Any, filters: Any, bias: Any = None) -> Any:
    if rank(x) == 3:  # TensorFlow's own conv1d does the same: one more axis of size 1
        return tf.squeeze(_conv(node, x[..., tf.newaxis], filters[..., tf.newaxis], bias, 1), 3)
    return _conv(node, x, filters, bias, 0)


def _conv(node: Node, x: Any, filters: Any, bias: Any, added: int) -> Any:
    window = _window(node, filters, added)
    pads = pads_of(node, spatial(x)[: len(window.kernel)], window) + [(0, 0)] * added
    window = _widened(window, added)
    groups = node.get("group", 1)
    kernel = tf.transpose(filters, [*range(2, rank(filters)), 1, 0])
    data = channels_last(padded(x, pads))
    if rank(x) == 4 and _is_depthwise(groups, filters, window):
        multiplier = filters.shape[0] // groups
        shape = [*dims(kernel)[:2], groups, multiplier]
        strides = [1, *window.strides, 1]
        made = tf.nn.depthwise_conv2d(data, tf.reshape(kernel, shape), strides, "VALID", dilations=window.dilations)
    elif rank(x) == 4:
        made = tf.nn.conv2d(data, kernel, window.strides, "VALID", dilations=window.dilations)
    else:
        made = _conv3d(data, kernel, window, groups)
    if bias is None:
        return channels_first(made)
    if groups == 1:
        return channels_first(tf.nn.bias_add(made, bias))
    # Grappler would fuse a bias right after the convolution, and the fused CPU kernel refuses groups.
    return channels_first(made) + along(bias, 1, rank(x))


def _window(node: Node, filters: Any, added: int) -> Window:
    sizes = spatial(filters)
    return window_of(node, sizes[: len(sizes) - added])


def _widened(window: Window, added: int) -> Window:
    ones = [1] * added
    return Window(window.kernel + ones, window.strides + ones, window.dilations + ones)


def _is_depthwise(groups: int, filters: Any, window: Window) -> bool:
    """The depthwise kernel wants one channel per group and the same stride both ways."""
    one_each = groups > 1 and filters.shape[1] == 1 and filters.shape[0] is not None
    return bool(one_each and window.strides[0] == window.strides[1] and 1 in (window.strides[0], max(window.dilations)))


def _conv3d(data: Any, kernel: Any, window: Window, groups: int) -> Any:
    """The CPU kernel knows neither dilations nor groups."""
    kernel = spread(kernel, window.dilations, range(3))
    strides = [1, *window.strides, 1]
    parts = zip(tf.split(data, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([tf.nn.conv3d(part, own, strides, "VALID") for part, own in parts], -1)


def spread(x: Any, steps: list[int], axes: Any) -> Any:
    """Put zeros between the elements along the axes: what a dilation does to a kernel."""
    for axis, step in zip(axes, steps, strict=True):
        if step == 1:
            continue
        sizes = dims(x)
        apart = tf.pad(
            tf.expand_dims(x, axis + 1), [[0, step - 1 if i == axis + 1 else 0] for i in range(len(sizes) + 1)]
        )
        joined = tf.reshape(apart, [*sizes[:axis], sizes[axis] * step, *sizes[axis + 1 :]])
        x = joined[tuple(slice(None, 1 - step) if i == axis else slice(None) for i in range(len(sizes)))]
    return x


def conv_transpose(node: Node, x: Any, filters: Any, bias: Any = None) -> Any:
    """The whole product of the transposed convolution, of which the pads then cut off their part."""
    added = 1 if rank(x) == 3 else 0
    window = _window(node, filters, 0)
    pads, extra = _transposed_pads(node, spatial(x), window)
    if added:
        x, filters = x[..., tf.newaxis], filters[..., tf.newaxis]
        pads, extra, window = [*pads, (0, 0)], [*extra, 0], _widened(window, 1)
    groups, count = node.get("group", 1), rank(x)
    data = channels_last(x)
    kernel = spread(tf.transpose(filters, [*range(2, count), 1, 0]), window.dilations, range(count - 2))
    full = [(n - 1) * s + reach for n, s, reach in zip(spatial(x), window.strides, window.reach, strict=True)]
    transposed = tf.nn.conv2d_transpose if count == 4 else tf.nn.conv3d_transpose
    shape = tf.stack([dims(x)[0], *full, dims(filters)[1]])
    parts = zip(tf.split(data, groups, -1), tf.split(kernel, groups, -1), strict=True)
    made = channels_first(tf.concat([transposed(part, own, shape, window.strides, "VALID") for part, own in parts], -1))
    made = padded(made, [(0, at_least(more - after, 0)) for (_, after), more in zip(pads, extra, strict=True)])
    ends = [size - after + more for size, (_, after), more in zip(full, pads, extra, strict=True)]
    made = made[(slice(None), slice(None), *(slice(before, end) for (before, _), end in zip(pads, ends, strict=True)))]
    if added:
        made = tf.squeeze(made, 3)
    return made if bias is None else made + along(bias, 1, rank(made))


def _transposed_pads(node: Node, sizes: list[Any], window: Window) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Pads, and the output padding; both follow from ``output_shape`` or ``auto_pad`` where they are given."""
    count = len(sizes)
    extra = list(node.get("output_padding", [0] * count))
    wanted, automatic = node.get("output_shape"), node.get("auto_pad", "NOTSET")
    if wanted is None and automatic in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * stride for size, stride in zip(sizes, window.strides, strict=True)]
    if wanted is None:
        given = [0] * (2 * count) if automatic == "VALID" else list(node.get("pads", [0] * (2 * count)))
        return list(zip(given[:count], given[count:], strict=True)), extra
    pads = []
    for place, want in enumerate(list(wanted)[-count:]):
        total = (sizes[place] - 1) * window.strides[place] + extra[place] + window.reach[place] - want
        half = total // 2
        pads.append((half, total - half) if automatic == "SAME_UPPER" else (total - half, half))
    return pads, extra


OPS: Table = {"Conv": conv, "ConvTranspose": conv_transpose}
