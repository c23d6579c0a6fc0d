"""TF Serving over gRPC: ``tensorflow.serving.PredictionService/Predict``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from contract.codecs import MalformedAnswer, Payload
from contract.codecs.tfserving_messages import PredictRequest, PredictResponse
from contract.tensors import BY_TENSORFLOW, DTYPES, Array, Tensors, TensorSpec, dtype_of, from_bytes, to_bytes

# Which repeated field of a TensorProto holds the values of a dtype, when they are not in tensor_content.
TYPED_FIELDS = {
    "bool": "bool_val",
    "uint8": "int_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "string": "string_val",
}


MOST_ELEMENTS = 2**28  # of an answer that repeats one value, which costs the sender nothing


class TfServingGrpc:
    """Codec of PredictRequest and PredictResponse."""

    def target(self, served: str, version: int | str) -> str:
        return "/tensorflow.serving.PredictionService/Predict"

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload:
        request = PredictRequest()
        request.model_spec.name = served
        request.model_spec.version.value = int(version)
        request.model_spec.signature_name = "serving_default"
        for name, array in inputs.items():
            _fill(request.inputs.add(key=name).value, array)
        request.output_filter.extend(spec.name for spec in outputs)
        return Payload(request.SerializeToString())

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors:
        try:
            response = PredictResponse.FromString(body)
            return {entry.key: _array(entry.value) for entry in response.outputs}
        except (DecodeError, ValueError, KeyError, OverflowError) as error:
            raise MalformedAnswer(f"not a PredictResponse: {error!r}") from None


def _fill(tensor: Any, array: Array) -> None:
    dtype = dtype_of(array)
    tensor.dtype = DTYPES[dtype].tensorflow
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if dtype == "string":
        tensor.string_val.extend(array.ravel().tolist())
    else:
        tensor.tensor_content = to_bytes(array)


def _array(tensor: Any) -> Array:
    dtype = BY_TENSORFLOW[tensor.dtype]
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_content:
        return from_bytes(tensor.tensor_content, dtype, shape)
    values = getattr(tensor, TYPED_FIELDS[dtype])
    if dtype == "float16":
        flat = checked(np.array(values, dtype=np.int64), "uint16").view(np.float16)
    elif dtype == "string":
        flat = np.array(list(values), dtype=object)
    else:
        flat = checked(np.array(list(values)), DTYPES[dtype].numpy)
    if any(size < 0 for size in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise ValueError(f"a shape of {list(shape)} is not the shape of an answer")
    if flat.size == 1:  # TensorFlow's rule: a single value stands for every element
        return np.broadcast_to(flat, shape).copy() if shape else flat.reshape(())
    return flat.reshape(shape)


def checked(values: Array, dtype: str) -> Array:
    """Cast, refusing integers that do not fit: they would wrap around."""
    target = np.dtype(dtype)
    if target.kind in "iu" and values.size:
        limits = np.iinfo(target)
        if values.min() < limits.min or values.max() > limits.max:
            raise ValueError(f"{values.min()} to {values.max()} do not fit {target}")
    return values.astype(target)


CODEC = TfServingGrpc()
