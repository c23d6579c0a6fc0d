"""Ask a running endpoint every golden question: ready means that the answers are right."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from contract.batching import Batching
from contract.client import Client
from contract.codecs import MalformedAnswer, codec_for
from contract.compare import Parity, compare
from contract.endpoints import PayloadEntry, PayloadIndex
from contract.errors import ServerError
from contract.golden import Example
from contract.tensors import Tensors, TensorSpec
from serving.proof.connections import PLAIN, HttpConnection, grpc_channel, headers_of, metadata_of
from serving.proof.payloads import Asked

Send = Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]
TIMEOUT_S = 60.0
TOGETHER = 16  # requests in flight while the engine's own batching is proven
MOST_REFUSALS = 20  # of one request, where the queue policy lets fewer or shorter waits in


@dataclass(frozen=True)
class Probed:
    """What the golden requests showed."""

    parity: Parity
    first_request_ms: float


def probe(
    served: Asked,
    index: PayloadIndex,
    folder: Path,
    address: str,
    examples: list[Example],
    client: Client = PLAIN,
) -> Probed:
    """Send every golden request that the server's batch limit admits, one after the other, and compare the answers."""
    by_key = {example.key: example for example in examples}
    started = time.monotonic()
    send = TRANSPORTS[index.protocol](address, index.target, client)
    first_ms: float | None = None
    pairs: list[tuple[str, Tensors, Tensors]] = []
    for entry in _admitted(served, index):
        answer = ask(send, served.engine, served.name, served.manifest.outputs, index, entry, folder)
        if first_ms is None:
            first_ms = (time.monotonic() - started) * 1000
        pairs.append((entry.key, by_key[entry.key].outputs, answer))
    parity = compare(pairs, served.record.tolerance)
    return Probed(parity, round(first_ms or 0.0, 3))


def probe_together(
    served: Asked,
    index: PayloadIndex,
    folder: Path,
    address: str,
    examples: list[Example],
    client: Client = PLAIN,
) -> Parity:
    """Send the golden requests many at a time, so that the engine joins them into batches, and compare the answers."""
    by_key = {example.key: example for example in examples}
    connections = threading.local()
    engine, name, outputs = served.engine, served.name, served.manifest.outputs

    def question(entry: PayloadEntry) -> tuple[str, Tensors, Tensors]:
        if not hasattr(connections, "send"):
            connections.send = TRANSPORTS[index.protocol](address, index.target, client)
        answer = ask(connections.send, engine, name, outputs, index, entry, folder)
        return entry.key, by_key[entry.key].outputs, answer

    with ThreadPoolExecutor(max_workers=TOGETHER) as pool:
        return compare(list(pool.map(question, _admitted(served, index))), served.record.tolerance)


def _admitted(served: Asked, index: PayloadIndex) -> list[PayloadEntry]:
    """The requests that the server's batch limit admits."""
    limit = batch_limit(served)
    return [entry for entry in index.payloads if limit is None or entry.rows <= limit]


def batch_limit(served: Asked) -> int | None:
    """The most rows of one request: Triton refuses more than max_batch_size."""
    batching: Batching = served.model.batching
    return batching.max_batch_size if served.engine == "triton" else None


def ask(
    send: Send,
    engine: str,
    name: str,
    outputs: list[TensorSpec],
    index: PayloadIndex,
    entry: PayloadEntry,
    folder: Path,
) -> Tensors:
    """The decoded answer to one golden request. Raises ServerError where there is none."""
    request = f"golden request {entry.key} of {name} over {index.protocol}"
    try:
        body, headers = _patiently(send, (folder / entry.file).read_bytes(), entry.headers)
    except (OSError, http.client.HTTPException, grpc.RpcError, RuntimeError) as error:
        raise ServerError(f"{engine} did not answer {request}: {_detail(error)}") from None
    try:
        return codec_for(engine, index.protocol).decode(body, headers, outputs)
    except MalformedAnswer as error:
        raise ServerError(f"{engine} answered {request}: {error}") from None


def _patiently(send: Send, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Send again where the queue policy refused: what is proven are answers, and others may be asking as well."""
    for refusals in range(1, MOST_REFUSALS):
        try:
            return send(body, headers)
        except (grpc.RpcError, RuntimeError) as error:
            if not (_detail(error).startswith("HTTP 503") or _code(error) == "UNAVAILABLE"):
                raise
            time.sleep(0.01 * refusals)
    return send(body, headers)


def _detail(error: Exception) -> str:
    return str(error.details() if isinstance(error, grpc.RpcError) and hasattr(error, "details") else error)


def _code(error: Exception) -> str:
    return str(error.code().name) if isinstance(error, grpc.RpcError) and hasattr(error, "code") else ""


def _http(address: str, path: str, client: Client = PLAIN) -> Send:
    connection = HttpConnection(address, client, TIMEOUT_S)
    common = headers_of(client)

    def send(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        connection.request("POST", path, body=body, headers=common | headers)
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {data[:300].decode(errors='replace')}")
        return data, dict(response.getheaders())

    return send


def _grpc(address: str, method: str, client: Client = PLAIN) -> Send:
    call: Any = grpc_channel(address, client).unary_unary(
        method, request_serializer=None, response_deserializer=None
    )  # raw bytes in and out
    metadata = metadata_of(client)

    def send(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        return call(body, timeout=TIMEOUT_S, wait_for_ready=True, metadata=metadata), {}

    return send


TRANSPORTS: dict[str, Callable[..., Send]] = {"http": _http, "rest": _http, "grpc": _grpc}
