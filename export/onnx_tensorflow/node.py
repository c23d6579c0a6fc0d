"""What an operator's function is given beside its tensors: attributes, opset, what is known of its inputs, subgraphs.

An ONNX graph computes shapes with ordinary integer tensors. Those that are known while the graph is built are carried
along as numpy arrays, partly known ones with `UNKNOWN` in the holes, so that Reshape and Expand get static shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[..., Any]
Table = Mapping[str, Function]
UNKNOWN = -(2**31)  # in a partly known integer array; no dimension or index is this, and it fits into int32

DTYPES = {
    onnx.TensorProto.FLOAT: tf.float32,
    onnx.TensorProto.UINT8: tf.uint8,
    onnx.TensorProto.INT8: tf.int8,
    onnx.TensorProto.UINT16: tf.uint16,
    onnx.TensorProto.INT16: tf.int16,
    onnx.TensorProto.INT32: tf.int32,
    onnx.TensorProto.INT64: tf.int64,
    onnx.TensorProto.BOOL: tf.bool,
    onnx.TensorProto.FLOAT16: tf.float16,
    onnx.TensorProto.DOUBLE: tf.float64,
    onnx.TensorProto.UINT32: tf.uint32,
    onnx.TensorProto.UINT64: tf.uint64,
    onnx.TensorProto.BFLOAT16: tf.bfloat16,
    onnx.TensorProto.COMPLEX64: tf.complex64,
    onnx.TensorProto.COMPLEX128: tf.complex128,
}


@dataclass(frozen=True)
class Operation:
    """One node as the file says it; graph attributes are `Graph`s, tensors are numpy arrays."""

    op: str
    domain: str
    opset: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A graph or subgraph. ``constants`` holds numpy arrays and variables; ``ranks`` what the file declares."""

    operations: tuple[Operation, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Any]
    ranks: Mapping[str, int]


@dataclass(frozen=True)
class Node:
    """An operation while it is being built."""

    operation: Operation
    known: tuple[Array | None, ...] = ()
    run: Callable[[Graph, tuple[Any, ...]], list[Any]] | None = field(default=None, repr=False)

    @property
    def opset(self) -> int:
        return self.operation.opset

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.operation.outputs

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.operation.attributes.get(name, default)

    def wants(self, index: int) -> bool:
        """Whether an optional output is used."""
        return len(self.outputs) > index and self.outputs[index] != ""

    def value(self, index: int) -> Array | None:
        """An integer input as far as it is known: all of it, or None."""
        array = self.partial(index)
        return None if array is None or (array == UNKNOWN).any() else array

    def partial(self, index: int) -> Array | None:
        """An integer input with `UNKNOWN` in its holes, or None when nothing is known."""
        return self.known[index] if index < len(self.known) else None

    def ints(self, index: int) -> list[int] | None:
        """`value` as a list."""
        array = self.value(index)
        return None if array is None else [int(item) for item in array.reshape(-1)]

    def subgraph(self, name: str) -> Callable[..., list[Any]]:
        """A graph attribute as a function of its inputs; it sees the names of the graphs around it."""
        graph, run = self.get(name), self.run
        assert isinstance(graph, Graph) and run is not None
        return lambda *inputs: run(graph, inputs)


def integers(array: Array) -> Array | None:
    """The array when its values can serve as shapes, indices or axes."""
    return array if np.issubdtype(array.dtype, np.integer) else None
