"""The one question as each server wants it, and its answer as tensors: a table, one row for each protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from contract.codecs import Payload, codec_for
from contract.tensors import Tensors, TensorSpec

Encode = Callable[[Tensors], Payload]
Decode = Callable[[bytes, Mapping[str, str]], Tensors]


@dataclass(frozen=True)
class Protocol:
    """How the load client sends (http, grpc), where to, and both translations."""

    transport: str
    target: str
    encode: Encode
    decode: Decode


def json_rows(path: str) -> Protocol:
    """{"tokens": [[…]]} -> {"logits": [[…]]}, or the bare rows."""

    def encode(inputs: Tensors) -> Payload:
        body = json.dumps({name: array.tolist() for name, array in inputs.items()}, separators=(",", ":"))
        return Payload(body.encode(), {"Content-Type": "application/json"})

    def decode(body: bytes, headers: Mapping[str, str]) -> Tensors:
        document = json.loads(body)
        return {"logits": np.array(document["logits"] if isinstance(document, dict) else document, dtype=np.float32)}

    return Protocol("http", path, encode, decode)


def json_v2(path: str) -> Protocol:
    """The V2 (KServe) protocol with the numbers in the JSON document."""

    def encode(inputs: Tensors) -> Payload:
        tensors = [
            {"name": name, "shape": list(array.shape), "datatype": "INT64", "data": array.ravel().tolist()}
            for name, array in inputs.items()
        ]
        body = json.dumps({"inputs": tensors}, separators=(",", ":"))
        return Payload(body.encode(), {"Content-Type": "application/json"})

    def decode(body: bytes, headers: Mapping[str, str]) -> Tensors:
        outputs = json.loads(body)["outputs"]
        return {item["name"]: np.array(item["data"], dtype=np.float32).reshape(item["shape"]) for item in outputs}

    return Protocol("http", path, encode, decode)


def bare_bytes(path: str) -> Protocol:
    """The bytes of one row, in the machine's order, and the bytes of its answer."""

    def encode(inputs: Tensors) -> Payload:
        (tokens,) = inputs.values()
        return Payload(tokens.tobytes(), {"Content-Type": "application/octet-stream"})

    def decode(body: bytes, headers: Mapping[str, str]) -> Tensors:
        return {"logits": np.frombuffer(body, np.float32).reshape(1, -1)}

    return Protocol("http", path, encode, decode)


def msgpack_bytes(path: str) -> Protocol:
    """msgpack, in which the tensor is its bytes and its shape."""
    import msgpack  # type: ignore[import-untyped]

    def encode(inputs: Tensors) -> Payload:
        (tokens,) = inputs.values()
        body = msgpack.packb({"tokens": tokens.tobytes(), "shape": list(tokens.shape)})
        return Payload(body, {"Content-Type": "application/msgpack"})

    def decode(body: bytes, headers: Mapping[str, str]) -> Tensors:
        return {"logits": np.frombuffer(msgpack.unpackb(body)["logits"], np.float32).reshape(1, -1)}

    return Protocol("http", path, encode, decode)


def triton(protocol: str, served: str, version: int, outputs: list[TensorSpec]) -> Protocol:
    """Triton's protocol (http, grpc), in which tensors are binary; MLServer's gRPC is the same."""
    return _spoken("triton", protocol, served, version, outputs)


def tfserving(protocol: str, served: str, version: int, outputs: list[TensorSpec]) -> Protocol:
    """TF Serving's protocol: grpc, in which requests are binary, or rest, which is JSON."""
    return _spoken("tfserving", protocol, served, version, outputs)


def _spoken(engine: str, protocol: str, served: str, version: int, outputs: list[TensorSpec]) -> Protocol:
    codec = codec_for(engine, protocol)
    return Protocol(
        "grpc" if protocol == "grpc" else "http",
        codec.target(served, version),
        lambda inputs: codec.encode(served, version, inputs, outputs),
        lambda body, headers: codec.decode(body, headers, outputs),
    )
