"""Keras models: their own answers, and their exports to SavedModel and ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import onnx
import tensorflow as tf

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example
from contract.tensors import DTYPES, Tensors, TensorSpec

ONNX_OPSET = 18  # tf2onnx knows 14 to 18
ONNX_IR = 10  # the newest that ONNX Runtime 1.19 and 1.20 (Triton 24.10 to 25.02) load


def build(model: Model) -> Any:
    """Load a ``.keras`` file in safe mode (no code of the file is run)."""
    path = Path(model.source)
    if not path.is_file():
        raise UsageError(f"source {path} does not exist; run 'make zoo' for the example models, or correct models.toml")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} does not load as a Keras model in safe mode: {error}") from None


def answers(model: Model, examples: list[Example]) -> list[Tensors]:
    """The trained model's own outputs, request by request, in eager mode."""
    call = _by_name(model, build(model))
    return [
        {
            name: value.numpy()
            for name, value in call(*[tf.constant(example.inputs[spec.name]) for spec in model.inputs]).items()
        }
        for example in examples
    ]


def to_savedmodel(model: Model, examples: list[Example], path: Path) -> str:
    """Write an inference-only SavedModel whose serving_default has the declared names. Returns the route."""
    network = build(model)
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serving_default", _by_name(model, network), input_signature=_signature(model.inputs))
    archive.write_out(str(path), verbose=False)
    return "keras.export.ExportArchive"


def to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Convert the traced function with tf2onnx, batch and every named axis dynamic. Returns the route."""
    import tf2onnx

    signature = _signature(model.inputs)
    function = tf.function(_by_name(model, build(model)), input_signature=signature)
    converted, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=ONNX_OPSET)
    _rename_outputs(converted, model, function.get_concrete_function())
    converted.ir_version = ONNX_IR
    onnx.save(converted, str(path))
    return f"tf2onnx.convert.from_function, opset {ONNX_OPSET}"


def _by_name(model: Model, network: Any) -> Any:
    """The network as a function of the declared inputs that returns {output name: tensor}."""
    names = [spec.name for spec in model.outputs]

    def call(*inputs: Any) -> dict[str, Any]:
        given = inputs[0] if len(inputs) == 1 else dict(zip([s.name for s in model.inputs], inputs, strict=True))
        result = network(given, training=False)
        if isinstance(result, dict):
            return result
        outputs = result if isinstance(result, list | tuple) else [result]
        if len(outputs) != len(names):
            raise UsageError(f"the model returns {len(outputs)} outputs, models.toml declares {len(names)}")
        return dict(zip(names, outputs, strict=True))

    return call


def _signature(specs: list[TensorSpec]) -> list[Any]:
    return [
        tf.TensorSpec(
            [None if size == -1 else size for size in spec.shape],
            tf.as_dtype(DTYPES[spec.dtype].tensorflow),
            name=spec.name,
        )
        for spec in specs
    ]


def _rename_outputs(converted: Any, model: Model, concrete: Any) -> None:
    """Give the graph's outputs their declared names: tf2onnx keeps TensorFlow's ('Identity:0'), sorted by key."""
    keys = sorted(concrete.structured_outputs)
    names = {old.name: key for old, key in zip(converted.graph.output, keys, strict=True)}
    for node in converted.graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
    for output in converted.graph.output:
        output.name = names[output.name]
