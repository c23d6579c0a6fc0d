"""Open a SavedModel as TF Serving does: into a Session, by its serving_default signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from contract.tensors import Tensors, TensorSpec


def open_artifact(
    path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> tuple[list[str], list[str], Callable[[Tensors], Tensors]]:
    """Return (input names, output names, call)."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
    signature = loaded.signature_def["serving_default"]
    fetches = {name: info.name for name, info in signature.outputs.items()}

    def call(tensors: Tensors) -> Tensors:
        feed = {signature.inputs[name].name: value for name, value in tensors.items()}
        return dict(session.run(fetches, feed))

    return sorted(signature.inputs), sorted(fetches), call
