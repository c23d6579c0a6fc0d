"""Read an ONNX file into a tf.Module that computes it, layout and dynamic axes as they are in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnx.inliner
import tensorflow as tf
from onnx import numpy_helper

from export.onnx_nodes import nodes
from export.onnx_tensorflow.errors import UnsupportedOperators
from export.onnx_tensorflow.evaluate import Scope
from export.onnx_tensorflow.node import DTYPES, Array, Graph, Operation
from export.onnx_tensorflow.ops import LIMITS, OPS

OLDEST_OPSET = 7  # numpy's broadcasting came with it
ONNX_DOMAINS = ("", "ai.onnx")
# Smaller arrays are constants, so that shapes fold; of integers only tables are variables.
SMALLEST_VARIABLE = 64
SMALLEST_INTEGER_VARIABLE = 4096


class Port(NamedTuple):
    """An input or output of the graph; a dim is a size, a name, or None."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The dims with None for every dynamic axis."""
        return tuple(dim if isinstance(dim, int) else None for dim in self.dims)


class OnnxModule(tf.Module):
    """The graph as a function of its inputs, in the file's order; its weights are variables."""

    def __init__(self, graph: Graph, inputs: list[Port], outputs: list[Port], weights: list[Any]) -> None:
        super().__init__(name="onnx")
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.weights = weights
        self._graph = graph

    # AutoGraph would rewrite the importer's own Python, to no effect but minutes of tracing.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, *inputs: Any) -> dict[str, Any]:
        values = Scope(self._graph, inputs, None, OPS).run()
        return {port.name: tf.identity(value) for port, value in zip(self.outputs, values, strict=True)}

    def signature(self) -> list[Any]:
        """The inputs as tf.function takes them."""
        return [tf.TensorSpec(port.shape, tf.as_dtype(port.dtype), name=port.name) for port in self.inputs]


def import_graph(path: Path) -> OnnxModule:
    """Read a model. Raises UnsupportedOperators, naming all of them, before anything is built."""
    model = _inlined(onnx.load(str(path), load_external_data=False))
    onnx.load_external_data_for_model(model, str(path.parent))
    opsets = {_domain(item.domain): item.version for item in model.opset_import}
    _refuse(model.graph, opsets)
    reader = _Reader(opsets)
    graph = reader.graph(model.graph)
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [_port(info) for info in model.graph.input if info.name not in given]
    return OnnxModule(graph, inputs, [_port(info) for info in model.graph.output], reader.weights)


def _inlined(model: Any) -> Any:
    """Without the model's own functions, and with operators that are unknown but defined by others spelled out."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    unknown = {node.op_type for node in nodes(model.graph) if not _domain(node.domain)} - set(OPS)
    if not unknown:
        return model
    selected = [("", name) for name in sorted(unknown)]
    for node in nodes(model.graph):
        if node.op_type in unknown:
            _spell_out_defaults(node, model.opset_import)
    try:
        return onnx.inliner.inline_selected_functions(model, selected, inline_schema_functions=True)
    except RuntimeError:  # types are missing that the definition depends on: the operator stays unknown
        return model


def _spell_out_defaults(node: Any, opsets: Any) -> None:
    """The inliner drops what a definition takes from an attribute that is left to its default."""
    opset = next((item.version for item in opsets if not _domain(item.domain)), 0)
    if not onnx.defs.has(node.op_type):
        return
    given = {item.name for item in node.attribute}
    attributes = onnx.defs.get_schema(node.op_type, opset).attributes.values()
    node.attribute.extend(
        item.default_value for item in attributes if item.name not in given and item.default_value.name
    )


def _domain(name: str) -> str:
    return "" if name in ONNX_DOMAINS else name


def _refuse(graph: Any, opsets: dict[str, int]) -> None:
    if opsets.get("", OLDEST_OPSET) < OLDEST_OPSET:
        raise UnsupportedOperators(
            f"the model has opset {opsets['']}; {OLDEST_OPSET} is the oldest that is read here. "
            "Convert it with onnx.version_converter"
        )
    if graph.sparse_initializer:
        raise UnsupportedOperators("sparse initializers are not read here")
    reasons = dict.fromkeys(filter(None, (_reason(node, opsets) for node in nodes(graph))))
    if reasons:
        raise UnsupportedOperators(f"cannot import into TensorFlow: {'; '.join(reasons)}")


def _reason(node: Any, opsets: dict[str, int]) -> str | None:
    domain = _domain(node.domain)
    opset = opsets.get(domain, 0)
    if domain or node.op_type not in OPS:
        return f"operator {node.domain or 'ai.onnx'}/{node.op_type} (opset {opset}) is unknown"
    limit = LIMITS.get(node.op_type)
    complaint = limit(_Reader(opsets).operation(node, weigh=False)) if limit else None
    return f"operator {node.op_type} (opset {opset}) {complaint}" if complaint else None


class _Reader:
    """Turns protobuf into `Graph`s, and collects the weights on the way."""

    def __init__(self, opsets: dict[str, int]) -> None:
        self._opsets = opsets
        self.weights: list[Any] = []

    def graph(self, proto: Any) -> Graph:
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.initializer}
        operations = []
        for node in proto.node:
            tensor = _constant(node)
            if tensor is None:
                operations.append(self.operation(node))
            else:
                arrays[node.output[0]] = tensor
        infos = [*proto.input, *proto.output, *proto.value_info]
        return Graph(
            tuple(operations),
            tuple(info.name for info in proto.input if info.name not in arrays),
            tuple(info.name for info in proto.output),
            {name: self._weigh(name, array) for name, array in arrays.items()},
            {info.name: len(info.type.tensor_type.shape.dim) for info in infos if _has_shape(info)},
        )

    def operation(self, node: Any, *, weigh: bool = True) -> Operation:
        attributes = {
            item.name: self._attribute(item) if weigh or item.type in _SMALL else None for item in node.attribute
        }
        domain = _domain(node.domain)
        opset = self._opsets.get(domain, 0)
        return Operation(node.op_type, domain, opset, node.name, tuple(node.input), tuple(node.output), attributes)

    def _attribute(self, item: Any) -> Any:
        if item.type == onnx.AttributeProto.GRAPH:
            return self.graph(item.g)
        value = onnx.helper.get_attribute_value(item)
        if item.type == onnx.AttributeProto.TENSOR:
            return numpy_helper.to_array(value)
        if item.type == onnx.AttributeProto.STRING:
            return value.decode()
        if item.type == onnx.AttributeProto.STRINGS:
            return [text.decode() for text in value]
        return value

    def _weigh(self, name: str, array: Array) -> Any:
        smallest = SMALLEST_VARIABLE if array.dtype.kind == "f" else SMALLEST_INTEGER_VARIABLE
        if array.size < smallest:
            return array
        variable = tf.Variable(array, trainable=False, name="".join(c if c.isalnum() else "_" for c in name) or "w")
        self.weights.append(variable)
        return variable


_SMALL = {getattr(onnx.AttributeProto, kind) for kind in ("FLOAT", "INT", "STRING", "FLOATS", "INTS", "STRINGS")}


def _constant(node: Any) -> Array | None:
    """The array of a Constant node that holds a tensor: exporters keep weights in these too."""
    if node.op_type != "Constant" or _domain(node.domain) or node.attribute[0].name != "value":
        return None
    array: Array = numpy_helper.to_array(node.attribute[0].t)
    return array


def _has_shape(info: Any) -> bool:
    return bool(info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape"))


def _port(info: Any) -> Port:
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type") or kind.elem_type not in DTYPES:
        raise UnsupportedOperators(f"'{info.name}' is not a tensor of numbers")
    return Port(info.name, DTYPES[kind.elem_type].name, tuple(_dim(dim) for dim in kind.shape.dim))


def _dim(dim: Any) -> int | str | None:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
