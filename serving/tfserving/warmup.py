"""Requests that a SavedModel brings along, run before it becomes available.

<version>/assets.extra/tf_serving_warmup_requests is a TFRecord file of PredictionLog. What a first request would
pay for (optimising the graph, initialising what is lazy) is paid here. A request that fails, or a file that cannot
be read, fails the load, as in TensorFlow Serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.tfserving import classification, errors
from serving.tfserving.errors import Code, StatusError, invalid
from serving.tfserving.model import DEFAULT_SIGNATURE, Runnable, Signature
from serving.tfserving.multi_inference import planned
from serving.tfserving.service import feeds_from_protos

FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000

Run = Callable[[Runnable, Any], None]


def predict(model: Runnable, request: Any) -> None:
    """Run a PredictRequest; the model it names does not matter."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise errors.signature_key_not_found(name)
    aliases = sorted(request.output_filter) or list(signature.outputs)
    for alias in aliases:
        if alias not in signature.outputs:
            raise errors.output_unknown(alias, signature.outputs)
    model.run(signature, feeds_from_protos(signature, request.inputs), aliases, 0)


def classify(model: Runnable, request: Any) -> None:
    """Run a ClassificationRequest."""
    signature = classification.signature_for(model, request.model_spec.signature_name)
    _run_examples(model, signature, classification.classify_outputs(signature), request)


def regress(model: Runnable, request: Any) -> None:
    """Run a RegressionRequest."""
    signature = classification.signature_for(model, request.model_spec.signature_name)
    _run_examples(model, signature, classification.regress_outputs(signature), request)


def multi_inference(model: Runnable, request: Any) -> None:
    """Run the tasks of a MultiInferenceRequest."""
    for part in planned(model, request.tasks):
        _run_examples(model, part.signature, part.wanted, request)


def _run_examples(model: Runnable, signature: Signature, wanted: Sequence[str], request: Any) -> None:
    model.run(signature, {classification.INPUTS: classification.serialized_examples(request.input)}, wanted, 0)


RUNS: Mapping[str, Run] = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}


def warm_up(model: Runnable, path: Path, iterations: int = 1, runs: Mapping[str, Run] = RUNS) -> list[str]:
    """Run each record ``iterations`` times; the kinds of records that were left out, each once."""
    file = path / FILE
    if not file.is_file():
        return []
    left_out = set()
    for number, log in enumerate(_logs(file), start=1):
        kind = log.WhichOneof("log_type")
        if kind == "session_run_log":
            raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {_number(kind)}")
        if kind in runs:
            for _ in range(iterations):
                runs[kind](model, getattr(log, kind).request)
        elif kind is not None:
            left_out.add(kind)
        if number > MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}")
    return sorted(left_out)


def _logs(file: Path) -> Iterator[Any]:
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(file)):
            try:
                yield prediction_log_pb2.PredictionLog.FromString(record)
            except DecodeError:
                raise invalid(f"Failed to parse warmup record: {record!r} from {file}") from None
    except tf.errors.DataLossError as error:
        raise StatusError(
            Code.DATA_LOSS, f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from None
    except tf.errors.OpError as error:
        raise StatusError(Code(error.error_code), error.message) from None


def _number(kind: str) -> int:
    return int(prediction_log_pb2.PredictionLog.DESCRIPTOR.fields_by_name[kind].number)
