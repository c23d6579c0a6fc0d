"""The benches' gRPC load against grpcio's own server: one that answers, refuses, resets, is late, or allows little."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import grpc
import pytest

from bench.peers import over_grpc
from bench.peers.asking import drive
from bench.peers.window import Load
from tests.clients_peers import nobody, reset

METHOD = "/test.Service/Ask"
PATIENCE_S = 20.0
LOAD = Load("grpc", "", METHOD, {}, base64.b64encode(b"a question").decode(), users=4, warm_s=0.1, window_s=0.4)


def to(address: str, **others: Any) -> Load:
    """The usual load, to this server."""
    return replace(LOAD, address=address, **others)


@contextmanager
def serving(answer: Callable[[bytes, Any], bytes], **options: int) -> Iterator[str]:
    """A grpcio server with these channel arguments, less their `grpc.`."""

    class Service(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer) if details.method == METHOD else None

    told = [(f"grpc.{name}", value) for name, value in options.items()]
    server = grpc.server(ThreadPoolExecutor(16), handlers=[Service()], options=told)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def echo(request: bytes, context: Any) -> bytes:
    return request


def test_right_answers_are_counted_and_sampled_by_a_process_of_its_own() -> None:
    with serving(echo) as address:
        window = drive(to(address))
    assert window.answers > 0 and (window.errors, window.first_error) == (0, "")
    assert window.seconds >= 0.4 and window.cpu > 0
    assert 0 < window.p50_ms <= window.p99_ms
    headers, kept = window.kept[0]
    assert (headers, base64.b64decode(kept)) == ({}, b"a question")


@pytest.mark.parametrize(("users", "connections"), [(1, 1), (64, 1), (101, 2)])
def test_users_are_streams_of_one_connection_up_to_a_hundred(users: int, connections: int) -> None:
    peers = set[str]()

    def remember(request: bytes, context: Any) -> bytes:
        peers.add(context.peer())
        return request

    with serving(remember) as address:
        window = over_grpc.drive(to(address, users=users))
    assert window.answers and not window.errors
    assert len(peers) == connections


def test_a_server_that_allows_one_call_at_a_time_fails_nobody() -> None:
    numbers, under_way, together = count(1), set[int](), set[int]()

    def watch(request: bytes, context: Any) -> bytes:
        number = next(numbers)
        under_way.add(number)
        threading.Event().wait(0.002)  # long enough for others to come in beside it
        if number > 2 * LOAD.users:  # the first came before anybody had been told what is allowed
            together.add(len(under_way))
        under_way.remove(number)
        return request

    with serving(watch, max_concurrent_streams=1) as address:
        window = over_grpc.drive(to(address))
    assert window.answers > 5 and window.errors == 0
    assert together == {1}


def test_refusals_are_errors_with_their_status_and_the_rest_is_answered() -> None:
    numbers = count(1)

    def refuse(request: bytes, context: Any) -> bytes:
        if next(numbers) % 10 == 0:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
        return request

    with serving(refuse) as address:
        window = over_grpc.drive(to(address))
    assert 0 < window.errors < window.answers
    assert window.first_error == "grpc RESOURCE_EXHAUSTED"


def test_a_method_that_the_server_does_not_have_is_an_error_with_its_status() -> None:
    with serving(echo) as address:
        window = over_grpc.drive(to(address, target="/test.Service/Other"))
    assert window.answers == 0 and window.errors > 0
    assert window.first_error == "grpc UNIMPLEMENTED"


def test_where_nobody_listens_there_is_no_answer_and_the_window_ends() -> None:
    window = over_grpc.drive(to(nobody(), warm_s=0.0, window_s=0.05))
    assert (window.answers, window.first_error) == (0, "refused")


@contextmanager
def cutting_off_the_first(address: str) -> Iterator[str]:
    """A relay to the server that resets its first connection at the first byte, and carries the others."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def listen() -> None:
        first = True
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            opened.append(client)
            if first:
                first = False
                client.recv(1)
                reset(client)
                continue
            host, port = address.split(":")
            server = socket.create_connection((host, int(port)), PATIENCE_S)
            opened.append(server)
            for pair in ((client, server), (server, client)):
                threads.append(threading.Thread(target=pump, args=pair, daemon=True))
                threads[-1].start()

    threads.append(threading.Thread(target=listen, daemon=True))
    threads[0].start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for one in [listener, *opened]:
            one.close()
        for thread in threads:
            thread.join(PATIENCE_S)


def test_a_reset_is_an_error_of_those_who_waited_and_the_next_connection_is_used() -> None:
    with serving(echo) as address, cutting_off_the_first(address) as relay:
        window = over_grpc.drive(to(relay, warm_s=0.0))
    assert window.first_error == "reset"
    assert 1 <= window.errors <= LOAD.users
    assert window.answers > window.errors


def test_an_answer_that_comes_after_the_window_is_waited_for_and_not_counted() -> None:
    still_wanted = list[bool]()

    def late(request: bytes, context: Any) -> bytes:
        threading.Event().wait(1.5)
        still_wanted.append(context.is_active())
        return request

    with serving(late) as address:
        window = over_grpc.drive(to(address, users=2, warm_s=0.0, window_s=0.3))
    assert still_wanted == [True, True]
    assert (window.answers, window.errors) == (0, 0)
    assert 0.3 <= window.seconds < 1.5
