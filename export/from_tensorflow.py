"""TensorFlow sources: a tf.Module from a factory with weights, or a SavedModel directory of any age.

SavedModels load through a Session, as TF Serving loads them: those of Keras 2, which tf.saved_model.load refuses today,
too. A SavedModel is a program that runs with its author's rights; it is only opened in a step's own process.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example
from contract.table import load
from contract.tensors import Tensors, TensorSpec
from export.opened import Port
from export.refused import quoting
from export.runtime_savedmodel import SIGNATURE, ports
from export.runtime_savedmodel import load as load_savedmodel
from export.tensorflow_functions import (
    ONNX_IR,
    ONNX_OPSET,
    answer,
    concrete,
    function_to_onnx,
    named,
    only_onnx,
    rename,
)
from export.trained import Trained, declared_inputs, described, nameless, told_inputs


def build(model: Model) -> tf.Module:
    """The tf.Module of a factory, its variables set from a .safetensors file by attribute name."""
    module = load(model.source)()
    if not isinstance(module, tf.Module) or not callable(module):
        raise UsageError(
            f"factory '{model.source}' returned a {type(module).__name__}, not a tf.Module that can be called"
        )
    if model.weights is None:
        return module
    if not model.weights.is_file():
        raise UsageError(f"weights {model.weights} do not exist; run 'make zoo' for the example models")
    from safetensors.numpy import load_file

    state = load_file(model.weights)
    variables = {name: value for name, value in vars(module).items() if isinstance(value, tf.Variable)}
    if set(state) != set(variables):
        raise UsageError(
            f"{model.weights} holds {', '.join(sorted(state))}; '{model.source}' has the variables "
            f"{', '.join(sorted(variables))}"
        )
    for name, value in state.items():
        if variables[name].shape != value.shape:
            raise UsageError(
                f"'{name}' is {list(value.shape)} in {model.weights}, {list(variables[name].shape)} in the module"
            )
        variables[name].assign(value)
    return module


def trained(model: Model) -> Trained:
    """The trained model's own answers, in eager mode."""
    inputs = declared_inputs(model)
    return Trained(inputs, answer(named(model, build(model)), inputs))


def to_savedmodel(model: Model, examples: list[Example], path: Path) -> str:
    """Trace through AutoGraph, which turns loops and branches over tensors into graph operations, and save."""
    module = build(model)
    function = concrete(model, named(model, module))
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: function})
    return "tf.function (AutoGraph), tf.saved_model.save"


def to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Convert the traced function with tf2onnx."""
    return function_to_onnx(model, named(model, build(model)), path)


def savedmodel_trained(model: Model) -> Trained:
    """The answers of a SavedModel through a Session, its inputs read from the signature."""
    session, signature = _opened(model)
    inputs = list(model.inputs) or told_inputs(model, [_spec(port) for port in ports(signature.inputs)])
    declared_names = sorted(spec.name for spec in inputs)
    if declared_names != sorted(signature.inputs):
        raise UsageError(
            f"'{SIGNATURE}' has the inputs {', '.join(sorted(signature.inputs))}; "
            f"declared are {', '.join(declared_names)}"
        )
    declared = [spec.name for spec in model.outputs] or sorted(signature.outputs)
    unknown = [name for name in declared if name not in signature.outputs]
    if unknown:
        raise UsageError(f"'{SIGNATURE}' has no output '{unknown[0]}'; it has {', '.join(sorted(signature.outputs))}")
    fetches = {name: signature.outputs[name].name for name in declared}

    def ask(tensors: Tensors) -> Tensors:
        feed = {signature.inputs[spec.name].name: tensors[spec.name] for spec in inputs}
        return dict(session.run(fetches, feed))

    return Trained(inputs, ask)


def copied_savedmodel(model: Model, examples: list[Example], path: Path) -> str:
    """The source is in the format already."""
    shutil.copytree(model.source, path)
    return "copied"


def savedmodel_to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Convert the signature's function with tf2onnx; SavedModels of Keras 2 may not load in this way."""
    with quoting("tf.saved_model.load"):
        loaded = tf.saved_model.load(model.source)
        signature = loaded.signatures[SIGNATURE]
    names = [spec.name for spec in model.inputs]

    def call(*inputs: Any) -> Any:
        return signature(**dict(zip(names, inputs, strict=True)))

    return f"tf.saved_model.load, {function_to_onnx(model, named(model, call), path)}"


def session_to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Freeze the Session's graph and convert it with tf2onnx: the way of SavedModels that only load in a Session."""
    import tf2onnx

    session, signature = _opened(model)
    inputs = {spec.name: signature.inputs[spec.name].name for spec in model.inputs}
    outputs = {spec.name: signature.outputs[spec.name].name for spec in model.outputs}
    with quoting("tf2onnx"):
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_from_session_graph as freeze,
        )

        graph = freeze(session, session.graph.as_graph_def(), [name.partition(":")[0] for name in outputs.values()])
        converted, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=list(inputs.values()),
            output_names=list(outputs.values()),
            opset=ONNX_OPSET,
        )
    only_onnx(converted)
    rename(converted, {old: new for new, old in (inputs | outputs).items()})
    converted.ir_version = ONNX_IR
    onnx.save(converted, str(path))
    return f"frozen Session graph, tf2onnx.convert.from_graph_def, opset {ONNX_OPSET}"


def _opened(model: Model) -> tuple[Any, Any]:
    path = Path(model.source)
    if not (path / "saved_model.pb").is_file() and not (path / "saved_model.pbtxt").is_file():
        raise UsageError(f"{path} holds no saved_model.pb; a SavedModel is the directory that holds one")
    try:
        return load_savedmodel(path)
    except (ValueError, OSError, RuntimeError, tf.errors.OpError) as error:
        raise UsageError(f"{path} does not load as a SavedModel: {error}") from None


def _spec(port: Port) -> TensorSpec:
    if port.dtype is None or port.dims is None:
        raise UsageError(
            f"the signature does not tell dtype and rank of '{port.name}'; declare the inputs in models.toml"
        )
    dims = [
        size if size is not None else "batch" if axis == 0 else nameless(axis) for axis, size in enumerate(port.dims)
    ]
    return described(port.name, port.dtype, list(dims))
