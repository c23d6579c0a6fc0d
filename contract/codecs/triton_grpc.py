"""Triton over gRPC: ``inference.GRPCInferenceService/ModelInfer`` with raw tensor contents."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from contract.codecs import MalformedAnswer, Payload
from contract.tensors import (
    BY_TRITON,
    DTYPES,
    Tensors,
    TensorSpec,
    dtype_of,
    from_bytes,
    to_bytes,
    with_row_axis,
    without_row_axis,
)


def infer_request(served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> bytes:
    """A ModelInferRequest with raw tensor contents, of the shapes that the arrays have."""
    request = service_pb2.ModelInferRequest(model_name=served, model_version=str(version))
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype=DTYPES[dtype_of(array)].triton, shape=array.shape)
        request.raw_input_contents.append(to_bytes(array))
    for spec in outputs:
        request.outputs.add(name=spec.name)
    return bytes(request.SerializeToString())


class TritonGrpc:
    """Codec of ModelInferRequest and ModelInferResponse."""

    def target(self, served: str, version: int | str) -> str:
        return "/inference.GRPCInferenceService/ModelInfer"

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload:
        shaped = {name: with_row_axis(array) for name, array in inputs.items()}
        return Payload(infer_request(served, version, shaped, outputs))

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors:
        try:
            response = service_pb2.ModelInferResponse.FromString(body)
            specs = {spec.name: spec for spec in outputs}
            return {
                output.name: without_row_axis(
                    from_bytes(raw, BY_TRITON[output.datatype], tuple(output.shape)), specs.get(output.name)
                )
                for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
            }
        except (DecodeError, ValueError, KeyError) as error:
            raise MalformedAnswer(f"not a ModelInferResponse with raw contents: {error!r}") from None


CODEC = TritonGrpc()
