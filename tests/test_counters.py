"""The server's own counters around a window: what was counted in between, or nothing rather than nonsense."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from contract.records import ServerCounters
from loadtest.counters import difference, parse, read
from tests.builders import endpoint, free_port

NAMES = list(ServerCounters.model_fields)


def stats(**changes: int) -> dict[str, Any]:
    """One entry of model_stats as Triton writes it over HTTP."""
    numbers = {name: 10 * (index + 1) for index, name in enumerate(NAMES)} | changes
    timed = {"success": (numbers["success"], 999)} | {
        name: (7, numbers[f"{name}_ns"]) for name in ("queue", "compute_input", "compute_infer", "compute_output")
    }
    return {
        "name": "words__onnx",
        "version": "1",
        "last_inference": 1700000000000,
        "inference_count": numbers["inferences"],
        "execution_count": numbers["executions"],
        "inference_stats": {name: {"count": count, "ns": ns} for name, (count, ns) in timed.items()},
        "batch_stats": [],
    }


def counters(*values: int) -> ServerCounters:
    return ServerCounters(**dict(zip(NAMES, values, strict=True)))


def test_the_counters_are_taken_from_their_places() -> None:
    assert parse(stats()) == counters(10, 20, 30, 40, 50, 60, 70)


def test_numbers_may_be_text_as_json_writes_64_bit_integers() -> None:
    text = stats() | {"inference_count": "12345678901234", "execution_count": "3"}
    assert (parse(text).inferences, parse(text).executions) == (12345678901234, 3)


def test_the_difference_is_what_was_counted_in_between() -> None:
    assert difference(counters(1, 2, 3, 4, 5, 6, 7), counters(11, 12, 13, 14, 15, 16, 17)) == counters(*[10] * 7)


def test_no_traffic_is_a_difference_of_nothing() -> None:
    same = counters(1, 2, 3, 4, 5, 6, 7)
    assert difference(same, same) == counters(*[0] * 7)


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_a_server_that_was_restarted_in_between_has_no_difference(index: int) -> None:
    values = [10] * len(NAMES)
    values[index] = 2
    assert difference(counters(*[5] * len(NAMES)), counters(*values)) is None


@pytest.mark.parametrize("side", ["before", "after", "both"])
def test_a_side_that_is_missing_gives_no_difference(side: str) -> None:
    known = counters(*[5] * len(NAMES))
    assert difference(None if side != "after" else known, None if side != "before" else known) is None


Serve = Callable[[int, bytes], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server with one answer to every GET."""
    servers: list[HTTPServer] = []

    def serve(status: int, body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/v2/models/words__onnx/versions/1/stats"
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return int(server.server_address[1])

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_they_are_read_over_http_whatever_protocol_is_under_load(serve: Serve) -> None:
    port = serve(200, json.dumps({"model_stats": [stats()]}).encode())
    item = endpoint(protocol="grpc", address="127.0.0.1:1")
    assert read(item, {"http": port}) == counters(10, 20, 30, 40, 50, 60, 70)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"error":"no such model"}'),
        (200, b"not json"),
        (200, b'{"model_stats":[]}'),
        (200, b'{"model_stats":[{"inference_count":1}]}'),
        (200, b'{"model_stats":[{"inference_count":1,"execution_count":1,"inference_stats":null}]}'),
        (200, b"[]"),
        (200, b""),
    ],
    ids=["404", "no json", "no model", "no counters", "null counters", "a list", "nothing"],
)
def test_an_answer_without_counters_is_none_and_never_an_error(serve: Serve, status: int, body: bytes) -> None:
    assert read(endpoint(), {"http": serve(status, body)}) is None


def test_a_server_that_does_not_answer_has_no_counters() -> None:
    assert read(endpoint(), {"http": free_port()}) is None


def test_a_server_whose_http_port_is_unknown_has_no_counters() -> None:
    assert read(endpoint(), {}) is None


def test_tf_serving_has_no_counters_and_is_not_asked() -> None:
    assert read(endpoint(engine="tfserving", protocol="rest"), {}) is None
