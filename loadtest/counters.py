"""The server's own counters, read before and after a window."""

from __future__ import annotations

import http.client
import json

from contract.endpoints import Endpoint
from contract.records import ServerCounters


def read(endpoint: Endpoint, ports: dict[str, int]) -> ServerCounters | None:
    """Read Triton's statistics of the served model; None where the engine has none or does not answer."""
    if endpoint.engine != "triton":
        return None
    if "http" not in ports:
        return None
    host = endpoint.address.rsplit(":", 1)[0]
    connection = http.client.HTTPConnection(host, ports["http"], timeout=10)
    try:
        connection.request("GET", f"/v2/models/{endpoint.served_name}/versions/{endpoint.version}/stats")
        response = connection.getresponse()
        document = json.loads(response.read())
        return parse(document["model_stats"][0])
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return None
    finally:
        connection.close()


def parse(stats: dict[str, object]) -> ServerCounters:
    """Take the counters out of one entry of ``model_stats``."""
    inference = stats["inference_stats"]
    if not isinstance(inference, dict):
        raise TypeError("inference_stats is not an object")
    return ServerCounters(
        inferences=int(str(stats["inference_count"])),
        executions=int(str(stats["execution_count"])),
        success=int(inference["success"]["count"]),
        queue_ns=int(inference["queue"]["ns"]),
        compute_input_ns=int(inference["compute_input"]["ns"]),
        compute_infer_ns=int(inference["compute_infer"]["ns"]),
        compute_output_ns=int(inference["compute_output"]["ns"]),
    )


def difference(before: ServerCounters | None, after: ServerCounters | None) -> ServerCounters | None:
    """What was counted in between; None when either side is missing or the server was restarted."""
    if before is None or after is None:
        return None
    values = {name: getattr(after, name) - getattr(before, name) for name in ServerCounters.model_fields}
    return None if any(value < 0 for value in values.values()) else ServerCounters(**values)
