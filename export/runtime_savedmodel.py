"""Open a SavedModel as TF Serving does: into a Session, by its serving_default signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from contract.tensors import BY_TENSORFLOW, Tensors, TensorSpec
from export.opened import Opened, Port

SIGNATURE = "serving_default"


def open_artifact(path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Opened:
    """The signature that is really in the artifact, and a call into its Session."""
    session, signature = load(path)
    names = {name: info.name for name, info in signature.inputs.items()}
    fetches = {name: info.name for name, info in signature.outputs.items()}

    def call(tensors: Tensors) -> Tensors:
        return dict(session.run(fetches, {names[name]: value for name, value in tensors.items()}))

    return Opened(ports(signature.inputs), ports(signature.outputs), call, {"signature": SIGNATURE})


def load(path: Path) -> tuple[Any, Any]:
    """(Session, SignatureDef): what any age of SavedModel can do, since TF Serving has to. Raises ValueError."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
    if SIGNATURE not in loaded.signature_def:
        known = sorted(name for name in loaded.signature_def if not name.startswith("__"))
        raise ValueError(f"there is no signature '{SIGNATURE}', only {', '.join(known) or 'none'}")
    return session, loaded.signature_def[SIGNATURE]


def ports(infos: Any) -> list[Port]:
    """The tensors of one side of a SignatureDef, by name."""
    return [_port(name, info) for name, info in sorted(infos.items())]


def _port(name: str, info: Any) -> Port:
    shape = info.tensor_shape
    dims = None if shape.unknown_rank else [None if dim.size < 0 else int(dim.size) for dim in shape.dim]
    return Port(name, BY_TENSORFLOW.get(info.dtype), dims)
