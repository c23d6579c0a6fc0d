"""TF Serving over REST: ``POST /v1/models/<model>/versions/<version>:predict``; rows for one input, else columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from contract.codecs import MalformedAnswer, Payload
from contract.tensors import DTYPES, Array, Tensors, TensorSpec


class TfServingRest:
    """Codec of the predict call. JSON carries no dtype: answers take the dtype that the signature declares."""

    def target(self, served: str, version: int | str) -> str:
        return f"/v1/models/{served}/versions/{version}:predict"

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload:
        document: dict[str, Any] = {"signature_name": "serving_default"}
        if len(inputs) == 1:
            document["instances"] = _plain(next(iter(inputs.values())))
        else:
            document["inputs"] = {name: _plain(array) for name, array in inputs.items()}
        body = json.dumps(document, separators=(",", ":")).encode()
        return Payload(body, {"Content-Type": "application/json"})

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors:
        try:
            document = json.loads(body)
            if "predictions" in document:
                rows = document["predictions"]
                if len(outputs) == 1:
                    return {outputs[0].name: _array(rows, outputs[0])}
                return {spec.name: _array([row[spec.name] for row in rows], spec) for spec in outputs}
            columns = document["outputs"]
            if len(outputs) == 1:
                return {outputs[0].name: _array(columns, outputs[0])}
            return {spec.name: _array(columns[spec.name], spec) for spec in outputs}
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise MalformedAnswer(f"not an answer of TF Serving's predict call: {error!r}") from None


def _plain(array: Array) -> Any:
    if array.dtype != object:
        return array.tolist()
    encoded = np.empty(array.shape, dtype=object)
    for index, item in np.ndenumerate(array):
        encoded[index] = {"b64": base64.b64encode(item).decode()}
    return encoded.tolist()


def _array(value: Any, spec: TensorSpec) -> Array:
    if spec.dtype == "string":
        array = np.asarray(value, dtype=object)
        result = np.empty(array.size, dtype=object)
        result[:] = [_string(item) for item in array.ravel()]
        return result.reshape(array.shape)
    raw = np.asarray(value)
    target = np.dtype(DTYPES[spec.dtype].numpy)
    fitting = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[target.kind]
    if raw.size and raw.dtype.kind not in fitting:
        raise ValueError(f"output '{spec.name}' holds values that are no {spec.dtype}")
    if raw.size and target.kind in "iu":
        limits = np.iinfo(target)
        if raw.min() < limits.min or raw.max() > limits.max:
            raise ValueError(f"output '{spec.name}' holds {raw.min()} to {raw.max()}, which do not fit {spec.dtype}")
    return raw.astype(target)


def _string(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, dict) and set(item) == {"b64"}:
        return base64.b64decode(item["b64"], validate=True)
    raise ValueError(f"{item!r} is neither a string nor a b64 object")


CODEC = TfServingRest()
