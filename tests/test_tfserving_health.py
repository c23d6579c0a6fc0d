"""grpc.health.v1.Health, asked by hand-written bytes: what a health check of an orchestrator sends."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from serving.tfserving.health import health_handler

SERVING = b"\x08\x01"  # field 1, varint 1


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((health_handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None)


def check(channel: grpc.Channel, service: str) -> bytes:
    text = service.encode()
    answer: bytes = channel.unary_unary("/grpc.health.v1.Health/Check")(
        b"\x0a" + bytes([len(text)]) + text if text else b"", timeout=10
    )
    return answer


@pytest.mark.parametrize("service", ["", "ModelService", "PredictionService"])
def test_the_server_and_its_services_are_serving(channel: grpc.Channel, service: str) -> None:
    assert check(channel, service) == SERVING


def test_a_service_that_is_not_there_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(channel, "half_plus_two")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_watch_is_unimplemented_which_clients_take_for_healthy(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
