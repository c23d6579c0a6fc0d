"""ONNX -> SavedModel: the graph, imported operation by operation, saved with the declared signature."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from contract.config import Model
from contract.golden import Example
from export.onnx_tensorflow import import_graph
from export.refused import quoting
from export.runtime_savedmodel import SIGNATURE
from export.tensorflow_functions import concrete


def to_savedmodel(model: Model, examples: list[Example], path: Path, source: Path) -> str:
    """Import ``source`` and save it; every named axis stays dynamic."""
    with quoting("import of ONNX into TensorFlow"):
        module = import_graph(source)
    order = [spec.name for spec in model.inputs]
    names = [spec.name for spec in module.inputs]

    def call(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = dict(zip(order, inputs, strict=True))
        outputs = module(*[by_name[name] for name in names])
        return {spec.name: outputs[spec.name] for spec in model.outputs}

    function = concrete(model, call)
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: function})
    return "export.onnx_tensorflow, tf.saved_model.save"
