"""The server's own counters, read before and after a window: what it counted in between is a difference.

A server without counters, or that does not answer, has None; a load is never ended by its bookkeeping.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from contract.endpoints import Endpoint
from contract.hosts import host_of
from contract.records import ServerCounters
from loadtest.watching.prometheus import total

TIMEOUT_S = 10
TFSERVING = ":tensorflow:serving:"


@dataclass(frozen=True)
class Source:
    """Where an engine publishes its counters: purpose of the port, path, and what takes them out of the body."""

    port: str
    path: Callable[[Endpoint], str]
    parse: Callable[[bytes, Endpoint], ServerCounters]


def read(endpoint: Endpoint, ports: dict[str, int]) -> ServerCounters | None:
    """Read the counters of the served model; None where the engine has none or does not answer."""
    source = SOURCES.get(endpoint.engine)
    if source is None or source.port not in ports:
        return None
    host, port = host_of(endpoint.address), ports[source.port]
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", source.path(endpoint))
        response = connection.getresponse()
        body = response.read()
        return source.parse(body, endpoint) if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return None
    finally:
        connection.close()


def difference(before: ServerCounters | None, after: ServerCounters | None) -> ServerCounters | None:
    """What was counted in between; None when either side is missing or the server was restarted."""
    if before is None or after is None:
        return None
    values = {name: _grown(getattr(before, name), getattr(after, name)) for name in ServerCounters.model_fields}
    return None if any(value is not None and value < 0 for value in values.values()) else ServerCounters(**values)


def _grown(before: int | None, after: int | None) -> Any:
    return None if before is None or after is None else after - before


def of_triton(stats: dict[str, Any]) -> ServerCounters:
    """Take the counters out of one entry of Triton's ``model_stats`` (nanoseconds, as there)."""
    inference = stats["inference_stats"]
    return ServerCounters(
        inferences=int(stats["inference_count"]),
        executions=int(stats["execution_count"]),
        success=int(inference["success"]["count"]),
        queue_ns=int(inference["queue"]["ns"]),
        compute_input_ns=int(inference["compute_input"]["ns"]),
        compute_infer_ns=int(inference["compute_infer"]["ns"]),
        compute_output_ns=int(inference["compute_output"]["ns"]),
    )


def of_tfserving(page: str, model: str) -> ServerCounters:
    """Take the counters out of TF Serving's metrics page, whose latencies are sums of microseconds.

    ``runtime_latency`` is taken around the session's run and so includes the wait for a batch, which is subtracted. The
    batching series carry no model: they are the server's, and belong to the model that is alone under load.
    """
    queue_us = total(page, f"{TFSERVING}batching_session:queuing_latency_sum")
    runtime_us = total(page, f"{TFSERVING}runtime_latency_sum", model_name=model)
    return ServerCounters(
        inferences=int(total(page, f"{TFSERVING}batching_session:input_batch_size_sum")),
        executions=int(total(page, f"{TFSERVING}batching_session:processed_batch_size_count")),
        success=int(total(page, f"{TFSERVING}request_latency_count", model_name=model)),
        queue_ns=round(queue_us * 1000),
        compute_input_ns=None,
        compute_infer_ns=round((runtime_us - queue_us) * 1000),
        compute_output_ns=None,
    )


SOURCES = {
    "triton": Source(
        "http",
        lambda endpoint: f"/v2/models/{quote(endpoint.served_name, safe='')}/versions/{endpoint.version}/stats",
        lambda body, endpoint: of_triton(json.loads(body)["model_stats"][0]),
    ),
    "tfserving": Source(
        "rest",
        lambda endpoint: "/monitoring/prometheus/metrics",
        lambda body, endpoint: of_tfserving(body.decode(), endpoint.served_name),
    ),
}
