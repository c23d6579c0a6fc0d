"""Triton's own clocks: how long requests waited, were read, were computed and were answered between two looks."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

CLOCKS = {"queue": "queue", "input": "compute_input", "call": "compute_infer", "output": "compute_output"}


@dataclass(frozen=True)
class Counters:
    """What Triton has counted of a model: requests, rows, calls; nanoseconds of each clock."""

    requests: int
    rows: int
    calls: int
    spent_ns: dict[str, int]


@dataclass(frozen=True)
class Split:
    """Mean microseconds of one request by clock, and the rows of one call: what the batcher made."""

    us: dict[str, float]
    rows_per_call: float


def counters(address: str, name: str) -> Counters:
    """Ask Triton at host:port."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", f"/v2/models/{name}/stats")
        found = json.loads(connection.getresponse().read())["model_stats"][0]
    finally:
        connection.close()
    inside = found["inference_stats"]
    spent = {short: inside[long]["ns"] for short, long in CLOCKS.items()}
    return Counters(inside["success"]["count"], found["inference_count"], found["execution_count"], spent)


def between(before: Counters, after: Counters) -> Split:
    """What one request took, of those that were answered in between; zeros where none was."""
    requests, calls = max(1, after.requests - before.requests), max(1, after.calls - before.calls)
    spent = {name: after.spent_ns[name] - before.spent_ns[name] for name in CLOCKS}
    return Split({name: ns / requests / 1e3 for name, ns in spent.items()}, (after.rows - before.rows) / calls)
