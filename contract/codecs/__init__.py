"""Requests and answers as each protocol writes them: one module per protocol, the same function names in each.

    target(served, version)                      -> path of the POST, or full name of the gRPC method
    encode(served, version, inputs, outputs)     -> Payload(body, headers)
    decode(body, headers, outputs)               -> tensors of the answer, by name

A version is a number on our own servers; elsewhere it is a name, empty where a model has none. What a protocol cannot
carry is a UsageError of `encode`.

A load worker needs none of this: it sends bytes that were encoded before, and keeps bytes that are decoded afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from contract.table import choose
from contract.tensors import Tensors, TensorSpec

CODECS = {
    "triton/http": "contract.codecs.triton_http:CODEC",
    "triton/grpc": "contract.codecs.triton_grpc:CODEC",
    "tfserving/grpc": "contract.codecs.tfserving_grpc:CODEC",
    "tfserving/rest": "contract.codecs.tfserving_rest:CODEC",
    "kserve/http": "contract.codecs.kserve_http:CODEC",
    "kserve/grpc": "contract.codecs.kserve_grpc:CODEC",
}


@dataclass(frozen=True)
class Payload:
    """One serialised request: the exact body, and the HTTP headers that belong to it (none for gRPC)."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Codec(Protocol):
    """What every protocol module offers as ``CODEC``."""

    def target(self, served: str, version: int | str) -> str: ...

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload: ...

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors: ...


class MalformedAnswer(ValueError):
    """An answer's bytes are not what the protocol says."""


def codec_for(engine: str, protocol: str) -> Codec:
    """Import the codec of one engine's protocol."""
    return cast(Codec, choose(CODECS, f"{engine}/{protocol}", "protocol"))
