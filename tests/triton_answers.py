"""Answers as Triton writes them, for the servers of the tests."""

from __future__ import annotations

import json

from tritonclient.grpc import service_pb2

from contract.tensors import Tensors, to_bytes


def http_body(outputs: Tensors) -> tuple[bytes, int]:
    """The body over HTTP, and how much of it is its JSON header."""
    buffers = {name: to_bytes(array) for name, array in outputs.items()}
    entries = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": list(outputs[name].shape),
            "parameters": {"binary_data_size": len(data)},
        }
        for name, data in buffers.items()
    ]
    header = json.dumps({"model_name": "words__onnx", "model_version": "1", "outputs": entries}).encode()
    return header + b"".join(buffers.values()), len(header)


def grpc_body(outputs: Tensors) -> tuple[bytes, int]:
    """The message over gRPC, which has no header in front."""
    response = service_pb2.ModelInferResponse(model_name="words__onnx", model_version="1")
    for name, array in outputs.items():
        response.outputs.add(name=name, datatype="FP32", shape=array.shape)
        response.raw_output_contents.append(to_bytes(array))
    return bytes(response.SerializeToString()), 0
