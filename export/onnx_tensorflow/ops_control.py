"""If, Loop and Scan. Their subgraphs become functions that see the tensors around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.onnx_tensorflow.dims import axis_of, move, rank
from export.onnx_tensorflow.node import Node, Table

Body = Callable[..., list[Any]]


def branch(node: Node, condition: Any) -> Any:
    known = tf.get_static_value(condition)
    then, other = node.subgraph("then_branch"), node.subgraph("else_branch")
    if known is not None:
        return (then if known.item() else other)()
    return tf.cond(tf.reshape(condition, []), lambda: _tensors(then()), lambda: _tensors(other()))


def _tensors(values: list[Any]) -> list[Any]:
    """What is known in a subgraph is not known outside of it, where it may run or not, once or often."""
    return [tf.convert_to_tensor(value) for value in values]


def loop(node: Node, limit: Any, condition: Any, *initial: Any) -> Any:
    """The condition is looked at before each round; what a round yields is stacked."""
    body = node.subgraph("body")
    start = tf.constant(True) if condition is None else tf.reshape(condition, [])
    most = tf.constant(tf.int64.max, tf.int64) if limit is None else tf.reshape(tf.cast(limit, tf.int64), [])

    def round_of(index: Any, states: list[Any]) -> tuple[Any, list[Any], list[Any]]:
        results = _tensors(body(index, tf.constant(True), *states))
        return tf.reshape(results[0], []), results[1 : 1 + len(states)], results[1 + len(states) :]

    states = list(initial)
    shapes, yields = _settled(lambda index, kept: round_of(index, kept)[1:], states)
    arrays = _arrays(yields)

    def step(index: Any, going: Any, states: list[Any], arrays: list[Any]) -> Any:
        going, states, items = round_of(index, states)
        written = [array.write(tf.cast(index, tf.int32), item) for array, item in zip(arrays, items, strict=True)]
        return index + 1, going, states, written

    count, _, states, arrays = tf.while_loop(
        lambda index, going, *_: tf.logical_and(index < most, going),
        step,
        (tf.constant(0, tf.int64), start, states, arrays),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([]), shapes, [tf.TensorShape(None) for _ in arrays]),
    )
    return [*states, *(_stacked(array, item, count) for array, item in zip(arrays, yields, strict=True))]


def scan(node: Node, *inputs: Any) -> Any:
    count, body = node.get("num_scan_inputs"), node.subgraph("body")
    states, sequences = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    axes = node.get("scan_input_axes", [0] * count)
    backward = node.get("scan_input_directions", [0] * count)
    elements = []
    for sequence, axis, back in zip(sequences, axes, backward, strict=True):
        moved = move(sequence, axis, 0)
        elements.append(tf.reverse(moved, [0]) if back else moved)
    time = tf.shape(elements[0], tf.int64)[0]

    def round_of(index: Any, states: list[Any]) -> tuple[list[Any], list[Any]]:
        results = _tensors(body(*states, *(tf.gather(element, index) for element in elements)))
        return results[: len(states)], results[len(states) :]

    shapes, yields = _settled(round_of, states)
    arrays = _arrays(yields)

    def step(index: Any, states: list[Any], arrays: list[Any]) -> Any:
        states, items = round_of(index, states)
        return (
            index + 1,
            states,
            [array.write(tf.cast(index, tf.int32), item) for array, item in zip(arrays, items, strict=True)],
        )

    length, states, arrays = tf.while_loop(
        lambda index, *_: index < time,
        step,
        (tf.constant(0, tf.int64), states, arrays),
        shape_invariants=(tf.TensorShape([]), shapes, [tf.TensorShape(None) for _ in arrays]),
    )
    outputs = []
    axes = node.get("scan_output_axes", [0] * len(yields))
    backward = node.get("scan_output_directions", [0] * len(yields))
    for array, item, axis, back in zip(arrays, yields, axes, backward, strict=True):
        made = _stacked(array, item, length)
        made = tf.reverse(made, [0]) if back else made
        outputs.append(move(made, 0, axis_of(axis, rank(made))))
    return [*states, *outputs]


def scan_limit(node: Any) -> str | None:
    return "before opset 9 is not supported" if node.opset < 9 else None


def _settled(round_of: Callable[[Any, list[Any]], Any], states: list[Any]) -> tuple[list[Any], list[Any]]:
    """The shapes that the states keep over all rounds, and what one round yields, as specs.

    A round is built on trial in a graph that is thrown away, with shapes that are relaxed until they hold.
    """
    shapes = [state.shape for state in states]
    while True:
        with tf.__internal__.FuncGraph("trial").as_default():
            given = [tf.compat.v1.placeholder(s.dtype, shape) for s, shape in zip(states, shapes, strict=True)]
            made, items = round_of(tf.compat.v1.placeholder(tf.int64, []), given)
        yields = [tf.TensorSpec(item.shape, item.dtype) for item in items]
        relaxed = [_relaxed(shape, new.shape) for shape, new in zip(shapes, made, strict=True)]
        if all(_same(left, right) for left, right in zip(shapes, relaxed, strict=True)):
            return shapes, yields
        shapes = relaxed


def _relaxed(left: Any, right: Any) -> Any:
    if left.rank is None or left.rank != right.rank:
        return tf.TensorShape(None)
    return tf.TensorShape([a if a == b else None for a, b in zip(left.as_list(), right.as_list(), strict=True)])


def _same(left: Any, right: Any) -> bool:
    return left.rank == right.rank and (left.rank is None or left.as_list() == right.as_list())


def _arrays(yields: list[Any]) -> list[Any]:
    return [
        tf.TensorArray(item.dtype, 0, dynamic_size=True, element_shape=item.shape, infer_shape=False) for item in yields
    ]


def _stacked(array: Any, item: Any, count: Any) -> Any:
    """No rounds make an empty tensor; TensorFlow cannot stack nothing of a shape with holes, which then are 0."""
    if item.shape.is_fully_defined():
        return array.stack()
    if item.shape.rank is None:
        return array.stack()
    empty = tf.zeros([0, *(size or 0 for size in item.shape)], item.dtype)
    result = tf.cond(count > 0, array.stack, lambda: empty)
    result.set_shape([None, *item.shape])
    return result


OPS: Table = {"If": branch, "Loop": loop, "Scan": scan}
