"""Triton over HTTP: the KServe v2 protocol with the binary tensor data extension.

Body: a JSON header, then each input's buffer in order (little-endian, row-major, strings length-prefixed). The header's
size travels in ``Inference-Header-Content-Length``, in requests and in answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

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

LENGTH_HEADER = "Inference-Header-Content-Length"


class TritonHttp:
    """Codec of ``POST /v2/models/<model>/versions/<version>/infer``."""

    def target(self, served: str, version: int | str) -> str:
        return f"/v2/models/{served}/versions/{version}/infer"

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload:
        inputs = {name: with_row_axis(array) for name, array in inputs.items()}
        buffers = {name: to_bytes(array) for name, array in inputs.items()}
        header = json.dumps(
            {
                "inputs": [
                    {
                        "name": name,
                        "shape": list(array.shape),
                        "datatype": DTYPES[dtype_of(array)].triton,
                        "parameters": {"binary_data_size": len(buffers[name])},
                    }
                    for name, array in inputs.items()
                ],
                "outputs": [{"name": spec.name, "parameters": {"binary_data": True}} for spec in outputs],
            },
            separators=(",", ":"),
        ).encode()
        headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(header))}
        return Payload(header + b"".join(buffers.values()), headers)

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors:
        lowered = {name.lower(): value for name, value in headers.items()}
        try:
            size = int(lowered.get(LENGTH_HEADER.lower(), len(body)))
            document = json.loads(body[:size])
            tensors: Tensors = {}
            offset = size
            for entry in document["outputs"]:
                length = int(entry["parameters"]["binary_data_size"])
                data = body[offset : offset + length]
                if not isinstance(entry["name"], str) or entry["name"] in tensors:
                    raise ValueError(f"output {entry['name']!r} has no name of its own")
                tensors[entry["name"]] = from_bytes(data, BY_TRITON[entry["datatype"]], tuple(entry["shape"]))
                offset += length
            specs = {spec.name: spec for spec in outputs}
            tensors = {name: without_row_axis(array, specs.get(name)) for name, array in tensors.items()}
            if offset != len(body):
                raise ValueError(f"{len(body) - offset} bytes are left over")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise MalformedAnswer(f"not an answer of Triton's HTTP protocol: {error!r}") from None
        return tensors


CODEC = TritonHttp()
