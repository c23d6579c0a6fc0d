"""KServe v2 over gRPC: ``inference.GRPCInferenceService/ModelInfer``, the service that Triton's own protocol grew from.

Requests carry raw tensors. Answers may be raw too or hold typed ``contents``; the protocol leaves that to the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from contract.codecs import MalformedAnswer, Payload
from contract.codecs.kserve_values import numbers, shaped
from contract.codecs.triton_grpc import infer_request
from contract.tensors import (
    BY_TRITON,
    Array,
    Tensors,
    TensorSpec,
    from_bytes,
    without_row_axis,
)

# Where a dtype's values are in InferTensorContents. FP16 has no field: it is always raw.
TYPED_FIELDS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
    "string": "bytes_contents",
}


class KserveGrpc:
    """Codec of ModelInferRequest and ModelInferResponse. Tensors have the shape of the signature."""

    def target(self, served: str, version: int | str) -> str:
        return "/inference.GRPCInferenceService/ModelInfer"

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload:
        return Payload(infer_request(served, version, inputs, outputs))

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors:
        specs = {spec.name: spec for spec in outputs}
        tensors: Tensors = {}
        try:
            response = service_pb2.ModelInferResponse.FromString(body)
            raws = response.raw_output_contents or [None] * len(response.outputs)
            for output, raw in zip(response.outputs, raws, strict=True):
                if output.name in tensors:
                    raise ValueError(f"output '{output.name}' is there twice")
                tensors[output.name] = without_row_axis(_read(output, raw), specs.get(output.name))
        except (DecodeError, ValueError, KeyError) as error:
            raise MalformedAnswer(f"not a ModelInferResponse: {error!r}") from None
        return tensors


def _read(output: Any, raw: bytes | None) -> Array:
    dtype, shape = BY_TRITON[output.datatype], tuple(output.shape)
    if raw is not None:
        return from_bytes(raw, dtype, shape)
    if dtype not in TYPED_FIELDS:
        raise ValueError(f"output '{output.name}' is {output.datatype}, which only raw contents can hold")
    values = list(getattr(output.contents, TYPED_FIELDS[dtype]))
    return shaped(np.array(values, dtype=object), shape) if dtype == "string" else numbers(values, dtype, shape)


CODEC = KserveGrpc()
