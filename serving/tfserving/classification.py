"""Classify and Regress: serialised tf.Examples in; classes with scores, or one value per example, out.

Both are a run of one signature whose single input is a vector of strings. What is checked before and after the run,
and in which words it is refused, follows TensorFlow Serving's classifier.cc and regressor.cc. Which method a
signature says it is for does not matter, as there without --enable_signature_method_name_check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.tfserving.errors import invalid
from serving.tfserving.model import DEFAULT_SIGNATURE, Runnable, Signature
from serving.tfserving.tensors import DTYPES, Array, string_array

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def serialized_examples(message: Any) -> Array:
    """The strings of an Input message, one per example; a context comes before each (protobuf merges the two)."""
    kind = message.WhichOneof("kind")
    examples = getattr(message, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    prefix = message.example_list_with_context.context.SerializeToString() if kind != "example_list" else b""
    return string_array([prefix + example.SerializeToString() for example in examples])


def signature_for(model: Runnable, name: str) -> Signature:
    """The signature that a Classify or Regress request names, or the default one."""
    found = model.signatures.get(name or DEFAULT_SIGNATURE)
    if found is None:
        raise invalid(f"No signature was found with the name: {name or DEFAULT_SIGNATURE}")
    return found


def classify_outputs(signature: Signature) -> tuple[str, ...]:
    """The outputs of a classification signature: classes, scores, or both."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature.name}")
    wanted = tuple(alias for alias in (CLASSES, SCORES) if alias in signature.outputs)
    if not wanted:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature.name}"
        )
    return wanted


def regress_outputs(signature: Signature) -> tuple[str, ...]:
    """The output of a regression signature."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature.name}")
    if OUTPUTS not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature.name}")
    return (OUTPUTS,)


def fill_classifications(count: int, outputs: Mapping[str, Array], result: Any) -> None:
    """Write what a run on ``count`` examples gave into an empty ClassificationResult."""
    for alias, wanted in ((CLASSES, "string"), (SCORES, "float")):
        if alias in outputs:
            _check_matrix(alias, outputs[alias], wanted, count)
    shapes = [outputs[alias].shape[1] for alias in (CLASSES, SCORES) if alias in outputs]
    if len(set(shapes)) > 1:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {shapes[0]} vs. {shapes[1]}")
    labels = outputs[CLASSES].tolist() if CLASSES in outputs else None
    scores = outputs[SCORES].tolist() if SCORES in outputs else None
    for row in range(count):
        added = result.classifications.add().classes
        for column in range(shapes[0]):
            entry = added.add()
            if labels:
                entry.label = labels[row][column].decode("utf-8", "replace")  # the field takes nothing else
            if scores:
                entry.score = scores[row][column]


def fill_regressions(count: int, outputs: Mapping[str, Array], result: Any) -> None:
    """Write what a run on ``count`` examples gave into an empty RegressionResult."""
    array = outputs[OUTPUTS]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shown(array)}"
        )
    if array.shape[0] != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {array.shape[0]}")
    if _type_name(array) != "float":
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_enum_name(array)}")
    for value in array.ravel().tolist():
        result.regressions.add().value = value


def _check_matrix(alias: str, array: Array, wanted: str, count: int) -> None:
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shown(array)}")
    if _type_name(array) != wanted:
        raise invalid(f"Expected {alias} Tensor of DT_{wanted.upper()}. Got: {_enum_name(array)}")
    if array.shape[0] != count:
        raise invalid(f"Expected {alias} output batch size of {count}. Got: {array.shape[0]}")


def _type_name(array: Array) -> str:
    return next((dtype.name for dtype in DTYPES.values() if dtype.numpy == array.dtype), str(array.dtype))


def _enum_name(array: Array) -> str:
    return f"DT_{_type_name(array).upper()}"


def _shown(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"
