"""How long an answer may take, told to a server over HTTP, where the protocol has no header for it.

Triton's requests may carry the parameter `timeout`, in microseconds (its protocol's extension for schedule policies):
a request that has waited longer for a batch is refused and not computed for nobody, where the model's queue policy has
`allow_timeout_override`. gRPC has `grpc-timeout` for it; TensorFlow Serving's REST has nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from contract.codecs.triton_http import LENGTH_HEADER


def with_deadline(body: bytes, headers: Mapping[str, str], timeout_us: int) -> tuple[bytes, dict[str, str]]:
    """The request with its time limit (microseconds) if it is Triton's, whose JSON header has a length."""
    told = dict(headers)
    name = next((name for name in told if name.lower() == LENGTH_HEADER.lower()), None)
    if name is None:
        return body, told
    size = int(told[name])
    document = json.loads(body[:size])
    parameters = {**document.get("parameters", {}), "timeout": timeout_us}
    header = json.dumps(document | {"parameters": parameters}, separators=(",", ":")).encode()
    told[name] = str(len(header))
    return header + body[size:], told
