"""KServe v2 over HTTP as every server of it speaks: plain JSON, without the binary tensor data extension.

Tensors are JSON arrays in row-major order: flat in requests, flat or nested in answers, both of which the protocol
allows. BYTES are strings, so they must be UTF-8. FP16 has no form in this JSON, NaN and infinity have none in any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from contract.codecs import MalformedAnswer, Payload
from contract.codecs.kserve_values import numbers, shaped
from contract.errors import UsageError
from contract.tensors import BY_TRITON, DTYPES, Array, Tensors, TensorSpec, dtype_of, without_row_axis

HINT = 'drive this model over protocol = "grpc"'


class KserveHttp:
    """Codec of ``POST /v2/models/<model>[/versions/<version>]/infer``. Tensors have the shape of the signature."""

    def target(self, served: str, version: int | str) -> str:
        return f"/v2/models/{served}" + (f"/versions/{version}" if version != "" else "") + "/infer"

    def encode(self, served: str, version: int | str, inputs: Tensors, outputs: list[TensorSpec]) -> Payload:
        for spec in outputs:
            _refuse_half(spec.name, spec.dtype)
        document = {
            "inputs": [_written(name, array) for name, array in inputs.items()],
            "outputs": [{"name": spec.name} for spec in outputs],
        }
        try:
            body = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            raise UsageError(
                f"a request to {served} holds NaN or infinity, which JSON has no form for; {HINT}"
            ) from None
        return Payload(body, {"Content-Type": "application/json"})

    def decode(self, body: bytes, headers: Mapping[str, str], outputs: list[TensorSpec]) -> Tensors:
        specs = {spec.name: spec for spec in outputs}
        tensors: Tensors = {}
        try:
            for entry in json.loads(body)["outputs"]:
                name = entry["name"]
                if not isinstance(name, str) or name in tensors:
                    raise ValueError(f"output {name!r} has no name of its own")
                tensors[name] = without_row_axis(_read(entry), specs.get(name))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise MalformedAnswer(f"not an answer of the KServe v2 protocol in JSON: {error!r}") from None
        return tensors


def _written(name: str, array: Array) -> dict[str, Any]:
    dtype = dtype_of(array)
    _refuse_half(name, dtype)
    flat = array.ravel().tolist()
    if dtype == "string":
        try:
            flat = [item.decode() for item in flat]
        except UnicodeDecodeError:
            raise UsageError(f"'{name}' holds bytes that are not UTF-8, which JSON cannot carry; {HINT}") from None
    return {"name": name, "shape": list(array.shape), "datatype": DTYPES[dtype].triton, "data": flat}


def _refuse_half(name: str, dtype: str) -> None:
    if dtype == "float16":
        raise UsageError(f"'{name}' is FP16, which the JSON of the KServe v2 protocol cannot carry; {HINT}")


def _read(entry: dict[str, Any]) -> Array:
    dtype, shape = BY_TRITON[entry["datatype"]], tuple(entry["shape"])
    if dtype == "float16":
        raise ValueError(f"output '{entry['name']}' is FP16, which has no form in JSON")
    if dtype != "string":
        return numbers(entry["data"], dtype, shape)
    nested = np.asarray(entry["data"], dtype=object)
    flat = np.empty(nested.size, dtype=object)
    flat[:] = [item.encode() if isinstance(item, str) else _no_string(item) for item in nested.ravel()]
    return shaped(flat.reshape(nested.shape), shape)


def _no_string(item: object) -> bytes:
    raise ValueError(f"{item!r} is no string")


CODEC = KserveHttp()
