"""Build a graph's operations one after the other, folding whatever is known.

Values are numpy arrays as long as everything that they depend on is, and tensors from there on. An operation on
arrays is run eagerly with the same function that would otherwise build it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export.onnx_tensorflow.node import UNKNOWN, Array, Graph, Node, Operation, Table, integers

CONTROL = {"If", "Loop", "Scan"}  # their subgraphs may capture tensors, so that their inputs do not tell all
# These move elements without looking at them, so that holes can be followed through them.
MOVES = {"Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
ARITHMETIC: Mapping[str, Callable[[Array, Array], Array]] = {"Add": np.add, "Mul": np.multiply, "Sub": np.subtract}
# A folded array is a constant wherever it is used, and a GraphDef has to stay below 2 GB.
LARGEST_CONSTANT = 4096


class Scope:
    """The values by name, those of the graphs around included."""

    def __init__(self, graph: Graph, inputs: tuple[Any, ...], around: Scope | None, table: Table) -> None:
        self._around = around
        self._table = table
        self._graph = graph
        self._values: dict[str, Any] = dict(zip(graph.inputs, inputs, strict=True))
        self._values.update({name: _read(value) for name, value in graph.constants.items()})
        self._partial: dict[str, Array] = {}
        for name in graph.inputs:
            self._declare(name)

    def run(self) -> list[Any]:
        """Build every operation and return the graph's outputs, which may be arrays."""
        for operation in self._graph.operations:
            results = self._build(operation)
            for name, value in zip(operation.outputs, results, strict=False):
                if name:
                    self._values[name] = value
                    self._declare(name)
        return [self.value(name) for name in self._graph.outputs]

    def value(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if self._around is None:
            raise KeyError(f"the graph uses '{name}' before anything makes it")
        return self._around.value(name)

    def known(self, name: str) -> Array | None:
        """What is known of an integer value."""
        if name in self._values:
            value = self._values[name]
            return integers(value) if isinstance(value, np.ndarray) else self._partial.get(name)
        return self._around.known(name) if self._around else None

    def _build(self, operation: Operation) -> list[Any]:
        inputs = [self.value(name) if name else None for name in operation.inputs]
        known = tuple(self.known(name) if name else None for name in operation.inputs)
        partial = self._follow(operation, inputs, known)
        if partial is not None and not any((array == UNKNOWN).any() for array in partial):
            return list(partial)
        node = Node(operation, known, lambda graph, given: Scope(graph, given, self, self._table).run())
        function = self._table[operation.op]
        if operation.op not in CONTROL and all(value is None or isinstance(value, np.ndarray) for value in inputs):
            folded = _fold(function, node, inputs)
            if folded is not None:
                return folded
        results = _listed(function(node, *[tf.constant(v) if isinstance(v, np.ndarray) else v for v in inputs]))
        for name, array in zip(operation.outputs, partial or (), strict=False):
            self._partial[name] = array
        return results

    def _follow(
        self, operation: Operation, inputs: list[Any], known: tuple[Array | None, ...]
    ) -> tuple[Array, ...] | None:
        """The outputs with holes, when all inputs are integers that are known in part."""
        if operation.op == "Shape" and not isinstance(inputs[0], np.ndarray) and inputs[0].shape.rank is not None:
            sizes = [UNKNOWN if size is None else size for size in inputs[0].shape.as_list()]
            start, end = operation.attributes.get("start", 0), operation.attributes.get("end")
            return (np.array(sizes, np.int64)[start:end],)
        arrays = [array for array in known if array is not None]
        holes = [bool((array == UNKNOWN).any()) for array in arrays]
        if len(arrays) < len(known) or not any(holes):
            return None
        if operation.op in ARITHMETIC:
            left, right = arrays
            blurred = np.logical_or(left == UNKNOWN, right == UNKNOWN)
            return (np.where(blurred, UNKNOWN, ARITHMETIC[operation.op](left, right)).astype(left.dtype),)
        if operation.op in MOVES and (operation.op == "Concat" or not any(holes[1:])):
            moved = _fold(self._table[operation.op], Node(operation, known), list(known))
            return None if moved is None or any(integers(array) is None for array in moved) else tuple(moved)
        return None

    def _declare(self, name: str) -> None:
        """Where a loop has lost a tensor's rank, the file's declaration restores it."""
        value = self._values[name]
        if name in self._graph.ranks and isinstance(value, tf.Tensor) and value.shape.rank is None:
            value.set_shape([None] * self._graph.ranks[name])


def _fold(function: Callable[..., Any], node: Node, inputs: list[Any]) -> list[Any] | None:
    with tf.init_scope():
        if not tf.executing_eagerly():
            return None
        results = _listed(function(node, *[None if value is None else tf.constant(value) for value in inputs]))
        if any(tf.size(result) > LARGEST_CONSTANT for result in results):
            return None
        return [np.asarray(result.numpy()) for result in results]


def _listed(results: Any) -> list[Any]:
    return list(results) if isinstance(results, list | tuple) else [results]


def _read(value: Any) -> Any:
    return value.read_value() if isinstance(value, tf.Variable) else value
