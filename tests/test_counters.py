"""The server's own counters around a window: what was counted in between, or nothing rather than nonsense."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any, Protocol

import pytest

from contract.records import ServerCounters
from loadtest.watching.counters import difference, of_tfserving, of_triton, read
from loadtest.watching.prometheus import Sample, samples, total
from serving.tfserving.metrics import Metrics
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
    assert of_triton(stats()) == counters(10, 20, 30, 40, 50, 60, 70)


def test_numbers_may_be_text_as_json_writes_64_bit_integers() -> None:
    text = stats() | {"inference_count": "12345678901234", "execution_count": "3"}
    assert (of_triton(text).inferences, of_triton(text).executions) == (12345678901234, 3)


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


def ipv6() -> bool:
    """Whether something can listen at ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Serve(Protocol):
    """Starts a server with one answer to every GET of counters, at this address of the machine: its port."""

    def __call__(self, status: int, body: bytes, host: str = "127.0.0.1") -> int: ...


STATISTICS = "/v2/models/words__onnx/versions/1/stats"
METRICS = "/monitoring/prometheus/metrics"


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[TCPServer] = []

    def serve(status: int, body: bytes, host: str = "127.0.0.1") -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path in (STATISTICS, METRICS)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        class Server(TCPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        server = Server((host, 0), Handler)
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


@pytest.mark.skipif(not ipv6(), reason="this machine has no address ::1")
def test_they_are_read_at_an_ipv6_address_whose_brackets_belong_to_no_name(serve: Serve) -> None:
    port = serve(200, json.dumps({"model_stats": [stats()]}).encode(), host="::1")
    assert read(endpoint(address="[::1]:1"), {"http": port}) == counters(10, 20, 30, 40, 50, 60, 70)


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


def test_a_server_whose_rest_port_is_unknown_has_no_counters() -> None:
    assert read(endpoint(engine="tfserving", protocol="grpc"), {"grpc": free_port()}) is None


def served(metrics: Metrics, requests: int, *, run_us: float, waited_us: float = 0.0, rows: int = 1) -> None:
    """Requests to `words__onnx` as the embedded server counts them, joined into one batch where they waited."""
    for _ in range(requests):
        if waited_us:
            metrics.enqueued(rows)
            metrics.waited("pool", waited_us)
        metrics.run("words__onnx", "Predict", run_us)  # around the session: the wait for a batch is in it
        metrics.request("words__onnx", "Predict", "GRPC", "OK", run_us + 500)
    if waited_us:
        metrics.batch(requests * rows, 3)


def test_tf_servings_page_has_queue_and_compute_in_microseconds() -> None:
    metrics = Metrics()
    served(metrics, 4, run_us=1000.0, waited_us=300.0, rows=2)
    assert of_tfserving(metrics.page(), "words__onnx") == ServerCounters(
        inferences=8,
        executions=1,
        success=4,
        queue_ns=1_200_000,
        compute_input_ns=None,
        compute_infer_ns=2_800_000,
        compute_output_ns=None,
    )


def test_a_tf_serving_that_does_not_batch_has_no_queue_and_counts_no_rows() -> None:
    metrics = Metrics()
    served(metrics, 3, run_us=1000.0)
    found = of_tfserving(metrics.page(), "words__onnx")
    assert (found.success, found.queue_ns, found.compute_infer_ns) == (3, 0, 3_000_000)
    assert (found.inferences, found.executions) == (0, 0)


def test_another_models_requests_and_failures_are_not_counted() -> None:
    metrics = Metrics()
    served(metrics, 2, run_us=1000.0)
    metrics.request("other", "Predict", "REST", "OK", 70.0)
    metrics.run("other", "Predict", 60.0)
    metrics.request("words__onnx", "Predict", "REST", "INVALID_ARGUMENT", 90.0)
    found = of_tfserving(metrics.page(), "words__onnx")
    assert (found.success, found.compute_infer_ns) == (2, 2_000_000)


def test_both_protocols_of_tf_serving_count_together() -> None:
    metrics = Metrics()
    served(metrics, 2, run_us=1000.0)
    metrics.request("words__onnx", "Predict", "REST", "OK", 70.0)
    assert of_tfserving(metrics.page(), "words__onnx").success == 3


def test_tf_serving_is_read_over_rest_and_its_window_is_a_difference(serve: Serve) -> None:
    metrics, item = Metrics(), endpoint(engine="tfserving", protocol="grpc", address="127.0.0.1:1")
    served(metrics, 5, run_us=1000.0, waited_us=300.0)
    before = read(item, {"rest": serve(200, metrics.page().encode())})
    served(metrics, 2, run_us=2000.0, waited_us=500.0)
    counted = difference(before, read(item, {"rest": serve(200, metrics.page().encode())}))
    assert counted is not None
    assert (counted.success, counted.queue_ns, counted.compute_infer_ns) == (2, 1_000_000, 3_000_000)
    assert counted.compute_input_ns is None


def test_a_tf_serving_that_was_restarted_in_between_has_no_difference(serve: Serve) -> None:
    old, new, item = Metrics(), Metrics(), endpoint(engine="tfserving", protocol="rest", address="127.0.0.1:1")
    served(old, 9, run_us=1000.0)
    served(new, 2, run_us=1000.0)
    pages = (serve(200, metrics.page().encode()) for metrics in (old, new))
    assert difference(*(read(item, {"rest": port}) for port in pages)) is None


def test_a_tf_serving_without_its_metrics_page_has_no_counters(serve: Serve) -> None:
    item = endpoint(engine="tfserving", protocol="rest", address="127.0.0.1:1")
    assert read(item, {"rest": serve(404, b"Not found")}) is None


def test_a_page_is_read_sample_by_sample_and_what_is_none_is_left_out() -> None:
    page = '# TYPE a counter\na{x="1",y="q\\"}{"} 2.5 1700000000\n:b:c_sum{} 7\nd NaN\nnot a sample\ne one\n'
    first, second, third = samples(page)
    assert first == Sample("a", {"x": "1", "y": 'q\\"}{'}, 2.5)
    assert second == Sample(":b:c_sum", {}, 7.0)
    assert third.name == "d" and third.value != third.value


def test_series_are_summed_by_the_labels_that_are_asked_for() -> None:
    page = 'a{m="x",p="1"} 2\na{m="x",p="2"} 3\na{m="y",p="1"} 50\naa{m="x"} 700\n'
    assert (total(page, "a", m="x"), total(page, "a"), total(page, "a", m="z")) == (5, 55, 0)
