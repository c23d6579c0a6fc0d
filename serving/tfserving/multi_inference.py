"""MultiInference: several Classify and Regress signatures of one model on the same tf.Examples.

All tasks are checked before anything runs, in the order and the words of TensorFlow Serving's multi_inference.cc. The
signatures may read different tensors, as those that TF 2 saves do: each of them gets the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serving.tfserving import classification
from serving.tfserving.classification import CLASSIFY, REGRESS
from serving.tfserving.errors import Code, StatusError, invalid
from serving.tfserving.model import DEFAULT_SIGNATURE, Runnable, Signature
from serving.tfserving.tensors import Array


@dataclass(frozen=True)
class Part:
    """One task: the signature, the outputs that it needs, and how they become an InferenceResult."""

    signature: Signature
    wanted: tuple[str, ...]
    fill: Callable[[int, Mapping[str, Array], Any], None]


def planned(model: Runnable, tasks: Iterable[Any]) -> list[Part]:
    """The tasks of a MultiInferenceRequest, checked."""
    parts: list[Part] = []
    names: set[str] = set()
    model_name = ""
    for task in tasks:
        spec = task.model_spec
        if not spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if model_name and spec.name != model_name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        model_name = spec.name
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name in names:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        if name not in model.signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        parts.append(_part(model.signatures[name], task.method_name))
    return parts


def _part(signature: Signature, method: str) -> Part:
    if method == CLASSIFY:
        return Part(signature, classification.classify_outputs(signature), _classifications)
    if method == REGRESS:
        return Part(signature, classification.regress_outputs(signature), _regressions)
    raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")


def _classifications(count: int, outputs: Mapping[str, Array], result: Any) -> None:
    classification.fill_classifications(count, outputs, result.classification_result)


def _regressions(count: int, outputs: Mapping[str, Array], result: Any) -> None:
    classification.fill_regressions(count, outputs, result.regression_result)
