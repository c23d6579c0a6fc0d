"""Load a Keras source on whichever backend this process has: a .keras file in safe mode, or a factory with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from contract.config import Model
from contract.errors import UsageError
from contract.table import load


def build(model: Model) -> Any:
    """The Keras model. Raises UsageError with a next step; no code of a file is run unless the source is trusted."""
    return _from_factory(model) if model.path is None else _from_file(model, model.path)


def _from_file(model: Model, path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"source {path} does not exist; run 'make zoo' for the example models, or correct models.toml")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not model.trust)
    except (ValueError, TypeError) as error:
        hint = (
            ""
            if model.trust
            else "; set trust = true (--trust) if the file holds code of its own, such as Lambda layers"
        )
        raise UsageError(f"{path} does not load as a Keras model in safe mode: {error}{hint}") from None


def _from_factory(model: Model) -> Any:
    network = load(model.source)()
    if not isinstance(network, keras.Model):
        raise UsageError(f"factory '{model.source}' returned a {type(network).__name__}, not a keras.Model")
    if model.weights is None:
        return network
    if not model.weights.is_file():
        raise UsageError(f"weights {model.weights} do not exist; run 'make zoo' for the example models")
    if not network.built:
        raise UsageError(f"factory '{model.source}' returns a model that is not built; call it once in the factory")
    try:
        network.load_weights(model.weights)
    except (ValueError, OSError, KeyError) as error:
        raise UsageError(f"{model.weights} does not fit '{model.source}': {error}") from None
    return network
