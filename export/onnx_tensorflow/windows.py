"""What convolutions and pools have in common: strides, dilations, and pads, which may depend on the input's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import at_least, dims, rank
from export.onnx_tensorflow.node import Node

Pads = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Window:
    """A window over the spatial axes, in the order of the file."""

    kernel: list[Any]
    strides: list[int]
    dilations: list[int]

    @property
    def reach(self) -> list[Any]:
        """The size of the window with its dilation."""
        return [(size - 1) * step + 1 for size, step in zip(self.kernel, self.dilations, strict=True)]


def window_of(node: Node, kernel: list[Any]) -> Window:
    count = len(kernel)
    return Window(kernel, list(node.get("strides", [1] * count)), list(node.get("dilations", [1] * count)))


def pads_of(node: Node, sizes: list[Any], window: Window) -> Pads:
    """The pads before and after each spatial axis."""
    automatic = node.get("auto_pad", "NOTSET")
    count = len(sizes)
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for size, reach, stride in zip(sizes, window.reach, window.strides, strict=True):
            total = at_least((-(-size // stride) - 1) * stride + reach - size, 0)
            half = total // 2
            pads.append((half, total - half) if automatic == "SAME_UPPER" else (total - half, half))
        return pads
    given = [0] * (2 * count) if automatic == "VALID" else list(node.get("pads", [0] * (2 * count)))
    return list(zip(given[:count], given[count:], strict=True))


def spatial(x: Any) -> list[Any]:
    return dims(x)[2:]


def padded(x: Any, pads: Pads, value: Any = 0) -> Any:
    """Pad the spatial axes of a tensor whose channels are second."""
    if all(isinstance(width, int) and width == 0 for pair in pads for width in pair):
        return x
    return tf.pad(x, [[0, 0], [0, 0], *[list(pair) for pair in pads]], constant_values=tf.cast(value, x.dtype))


def channels_last(x: Any) -> Any:
    return tf.transpose(x, [0, *range(2, rank(x)), 1])


def channels_first(x: Any) -> Any:
    count = rank(x)
    return tf.transpose(x, [0, count - 1, *range(1, count - 1)])
