"""Shapes as lists whose items are ints where they are known and scalar tensors where they are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

Dim = Any  # int, or a scalar int32 tensor


def rank(tensor: Any) -> int:
    """The rank, which has to be known while the graph is built."""
    known = tensor.shape.rank
    if known is None:
        raise ValueError(f"the rank of '{tensor.name}' is not known; export the model with shape inference")
    return int(known)


def dims(tensor: Any) -> list[Dim]:
    """The shape, static where it can be."""
    static = tensor.shape.as_list() if tensor.shape.rank is not None else [None] * rank(tensor)
    if all(size is not None for size in static):
        return list(static)
    dynamic = tf.unstack(tf.shape(tensor), num=len(static))
    return [dynamic[axis] if size is None else size for axis, size in enumerate(static)]


def product(sizes: Sequence[Dim]) -> Dim:
    """An int when all sizes are."""
    known = math.prod(size for size in sizes if isinstance(size, int))
    unknown = [size for size in sizes if not isinstance(size, int)]
    if not unknown:
        return known
    result = unknown[0]
    for size in unknown[1:]:
        result = result * size
    return result if known == 1 else result * known


def at_most(left: Dim, right: Dim) -> Dim:
    return min(left, right) if isinstance(left, int) and isinstance(right, int) else tf.minimum(left, right)


def at_least(left: Dim, right: Dim) -> Dim:
    return max(left, right) if isinstance(left, int) and isinstance(right, int) else tf.maximum(left, right)


def axis_of(axis: int, count: int) -> int:
    """A negative axis counts from the end."""
    return axis + count if axis < 0 else axis


def move(tensor: Any, source: int, target: int) -> Any:
    """Transpose one axis to another place; no operation when it is there already."""
    count = rank(tensor)
    source, target = axis_of(source, count), axis_of(target, count)
    if source == target:
        return tensor
    order = [axis for axis in range(count) if axis != source]
    order.insert(target, source)
    return tf.transpose(tensor, order)


def along(vector: Any, axis: int, count: int) -> Any:
    """A vector shaped to broadcast along one axis of a tensor of ``count`` axes."""
    return tf.reshape(vector, [-1 if index == axis else 1 for index in range(count)])
