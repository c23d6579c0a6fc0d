"""The gRPC face alone, before a catalog without models: what is refused before anything is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from serving.tfserving import rpc
from serving.tfserving.call_threads import CallThreads
from serving.tfserving.catalog import Catalog
from serving.tfserving.service import Service

PREDICT = f"/{rpc.PREDICTION}/Predict"
LIMIT = 4096  # bytes
SECONDS = 20.0
THREADS = 2
LIMITED: list[dict[str, Any]] = [
    {"largest": LIMIT},
    {"options": (("grpc.max_receive_message_length", LIMIT),)},  # what --grpc_channel_arguments says
]


def no_model(*_: Any) -> Any:
    raise AssertionError("there is nothing to load")


@contextmanager
def serving(**limits: Any) -> Iterator[Any]:
    """A server with these limits; a call that takes the bytes of a request."""
    threads = CallThreads(THREADS)
    server = rpc.make_server(Service(Catalog(no_model), None), threads, **limits)
    port = server.add_insecure_port("127.0.0.1:0")
    threads.start()
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary(PREDICT)
    finally:
        server.stop(None).wait(SECONDS)
        threads.shutdown()


def refused(call: Any, size: int) -> tuple[grpc.StatusCode, str]:
    """How a request of ``size`` bytes is refused. They are no PredictRequest: what is read is INTERNAL."""
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff" * size, timeout=SECONDS)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("limits", LIMITED, ids=["of the server", "of a flag"])
def test_a_request_over_the_limit_is_refused_with_its_size(limits: dict[str, Any]) -> None:
    with serving(**limits) as call:
        code, details = refused(call, LIMIT + 1)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(LIMIT + 1) in details
        assert refused(call, LIMIT)[0] == grpc.StatusCode.INTERNAL


def test_requests_over_the_limit_hold_no_thread() -> None:
    with serving(largest=LIMIT) as call:
        for _ in range(5 * THREADS):
            assert refused(call, 2 * LIMIT)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused(call, 1)[0] == grpc.StatusCode.INTERNAL


def test_bytes_that_are_no_message_are_refused_as_in_cpp_and_with_a_sentence() -> None:
    with serving() as call:
        assert refused(call, 1) == (
            grpc.StatusCode.INTERNAL,
            "The request is not a tensorflow.serving.PredictRequest.",
        )
