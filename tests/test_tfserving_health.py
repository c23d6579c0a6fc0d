"""grpc.health.v1.Health, asked by hand-written bytes: what a health check of an orchestrator sends."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from serving.tfserving.health import Health
from tests.builders import wait_until

SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"  # field 1, varint
SECONDS = 10.0


class Asked:
    """A gRPC server of one single thread that has the health service alone."""

    def __init__(self, health: Health, server: grpc.Server, channel: grpc.Channel) -> None:
        self.health = health
        self.server = server
        self._channel = channel

    def check(self, service: str = "") -> bytes:
        answer: bytes = self._channel.unary_unary("/grpc.health.v1.Health/Check")(about(service), timeout=SECONDS)
        return answer

    def watch(self, service: str = "") -> grpc.CallIterator[bytes]:
        return self._channel.unary_stream("/grpc.health.v1.Health/Watch")(about(service), timeout=SECONDS)


def about(service: str) -> bytes:
    text = service.encode()
    return b"\x0a" + bytes([len(text)]) + text if text else b""


@pytest.fixture
def asked() -> Iterator[Asked]:
    health = Health()
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((health.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Asked(health, server, channel)
    server.stop(None).wait()


@pytest.mark.parametrize("service", ["", "ModelService", "PredictionService"])
def test_the_server_and_its_services_are_serving(asked: Asked, service: str) -> None:
    assert asked.check(service) == SERVING
    assert next(asked.watch(service)) == SERVING


def test_a_service_that_is_not_there_is_not_found_by_a_check(asked: Asked) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        asked.check("half_plus_two")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_service_that_is_not_there_can_be_watched_and_is_unknown(asked: Asked) -> None:
    stream = asked.watch("half_plus_two")
    assert next(stream) == SERVICE_UNKNOWN
    assert stream.is_active()
    asked.health.stop()
    assert list(stream) == []  # still unknown, which is no news


def test_many_watch_and_hold_no_thread(asked: Asked) -> None:
    streams = [asked.watch() for _ in range(20)]
    assert [next(stream) for stream in streams] == [SERVING] * 20
    assert asked.check() == SERVING


def test_who_watches_is_told_of_the_end_and_the_server_does_not_wait_for_him(asked: Asked) -> None:
    stream = asked.watch()
    assert next(stream) == SERVING
    asked.health.stop()
    assert list(stream) == [NOT_SERVING]
    assert stream.code() is grpc.StatusCode.OK
    assert asked.server.stop(SECONDS).wait(SECONDS / 2)


def test_who_comes_after_the_end_is_told_so_at_once(asked: Asked) -> None:
    asked.health.stop()
    assert list(asked.watch()) == [NOT_SERVING]
    assert asked.check() == NOT_SERVING


def test_who_goes_away_is_forgotten(asked: Asked) -> None:
    stream = asked.watch()
    assert next(stream) == SERVING
    assert len(asked.health._streams) == 1
    stream.cancel()
    assert wait_until(lambda: not asked.health._streams, SECONDS)
    asked.health.stop()
