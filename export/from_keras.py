"""Keras sources on the TensorFlow backend: their own answers, and where Keras and tf2onnx lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from contract.config import Model
from contract.golden import Example
from export.keras_source import build
from export.tensorflow_functions import answer, function_to_onnx, named, signature
from export.trained import Trained, declared_inputs


def trained(model: Model) -> Trained:
    """The trained model's own answers, request by request, in eager mode."""
    inputs = declared_inputs(model)
    return Trained(inputs, answer(_function(model), inputs))


def to_savedmodel(model: Model, examples: list[Example], path: Path) -> str:
    """Write an inference-only SavedModel whose serving_default has the declared names."""
    network = build(model)
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serving_default", _by_name(model, network), input_signature=signature(model.inputs))
    archive.write_out(str(path), verbose=False)
    return "keras.export.ExportArchive"


def to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Convert the traced function with tf2onnx."""
    return function_to_onnx(model, _function(model), path)


def _function(model: Model) -> Any:
    return _by_name(model, build(model))


def _by_name(model: Model, network: Any) -> Any:
    names = [spec.name for spec in model.inputs]

    def call(*inputs: Any) -> Any:
        given = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True))
        return network(given, training=False)

    return named(model, call)
