"""The HTTP client against real sockets whose other side does what the test says."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket

from contract.client import Client
from contract.errors import UsageError
from loadtest.clients import Connection, connect
from loadtest.clients.ceiling import Ceiling
from loadtest.clients.deadline import with_deadline
from tests.clients_peers import Step, answer, in_pieces, nobody, reset, scripted, until_closed

HEADERS = {"Content-Type": "application/octet-stream"}
IMPATIENT = Client(timeout_s=0.3)


@contextmanager
def client(address: str, connections: int = 1, settings: Client | None = None) -> Iterator[Connection]:
    made = connect("http", address, "/infer", connections, settings or Client())
    try:
        yield made
    finally:
        made.close()


def replies(*connections: list[Step], asked: int, settings: Client | None = None) -> list[Any]:
    """(status, error, body, reopened) of so many requests, one after the other."""
    with scripted(*connections) as server, client(server.address, settings=settings) as ours:
        prepared = ours.prepare(b"asked", HEADERS)
        found = [ours.send(prepared) for _ in range(asked)]
        assert server.failures == []
        return [(reply.status, reply.error, reply.body, reply.reopened) for reply in found]


def test_the_bytes_on_the_wire_are_one_plain_request() -> None:
    with scripted([answer(b"")]) as server, client(server.address) as ours:
        assert ours(b"\0body", HEADERS).error == ""
        assert server.requests == [
            b"POST /infer HTTP/1.1\r\n"
            b"Host: " + server.address.encode() + b"\r\n"
            b"Content-Type: application/octet-stream\r\n"
            b"Content-Length: 5\r\n\r\n\0body"
        ]


def test_triton_is_told_how_long_an_answer_may_take_and_nobody_else_is() -> None:
    header = b'{"inputs":[],"parameters":{"priority":1}}'
    told, headers = with_deadline(header + b"\x00\x01", {"inference-header-content-length": str(len(header))}, 250_000)
    size = int(headers["inference-header-content-length"])
    assert json.loads(told[:size]) == {"inputs": [], "parameters": {"priority": 1, "timeout": 250_000}}
    assert told[size:] == b"\x00\x01"
    assert with_deadline(b'{"instances":[]}', HEADERS, 250_000) == (b'{"instances":[]}', HEADERS)


def test_answers_come_one_after_the_other_over_one_connection() -> None:
    assert replies([answer(b"1"), answer(b"2"), answer(b"3")], asked=3) == [
        (200, "", b"1", 0),
        (200, "", b"2", 0),
        (200, "", b"3", 0),
    ]


def test_the_first_byte_is_seen_when_it_comes_and_not_when_the_answer_is_whole() -> None:
    def slowly(connection: Any) -> None:
        connection.sendall(answer(b"body")[:10])
        time.sleep(0.5)
        connection.sendall(answer(b"body")[10:])

    with scripted([slowly]) as server, client(server.address) as ours:
        sent = time.monotonic_ns()
        reply = ours(b"", HEADERS)
        done = time.monotonic_ns()
    assert reply.body == b"body"
    assert sent < reply.first_byte_ns < done - 250_000_000


def test_large_bodies_pass_both_ways_whole() -> None:
    large = os.urandom(5_000_000)
    with scripted([answer(large), in_pieces(answer(large), 40_000)]) as server, client(server.address) as ours:
        assert ours(large, HEADERS).body == large
        assert ours(large[::-1], HEADERS).body == large
        assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [large, large[::-1]]


BROKEN: dict[str, tuple[Step, str]] = {
    "garbage": (b"\x16\x03\x01\x02\r\n\r\n", "malformed answer"),
    "closed at once": (lambda connection: connection.close(), "closed early"),
    "closed in the body": (answer(b"body")[:-1], "closed early"),
    "longer than it says": (answer(b"body") + b"more", "malformed answer"),
    "reset": (reset, "reset"),
    "silence": (until_closed, "timeout"),
    "http 503": (answer(b"busy", status="503 Service Unavailable"), "http 503"),
    "http 400": (answer(b"bad", status="400 Bad Request"), "http 400"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_goes_wrong_is_a_class_in_the_reply_and_the_next_request_goes_well(name: str) -> None:
    step, error = BROKEN[name]
    again: list[Step] = [answer(b"again")]
    kept = [step, *again] if error.startswith("http") else [step]
    broken, good = replies(kept, again, asked=2, settings=IMPATIENT)
    assert broken[1] == error
    assert good == (200, "", b"again", 0)


def test_silence_ends_at_the_timeout() -> None:
    with scripted([until_closed]) as server, client(server.address, settings=IMPATIENT) as ours:
        begun = time.monotonic()
        assert ours(b"", HEADERS).error == "timeout"
        assert 0.3 <= time.monotonic() - begun < 5.0


def test_nobody_there_is_refused_and_a_name_that_is_none_is_unknown() -> None:
    with client(nobody()) as ours:
        assert ours(b"", HEADERS)[:2] == (-1, "refused")
    with client("no-such-host.invalid:80") as ours:
        assert ours(b"", HEADERS)[:2] == (-1, "unknown host")
    with client(f"{'x' * 70}.invalid:80") as ours:
        assert ours(b"", HEADERS)[:2] == (-1, "unknown host")


def test_a_server_that_takes_no_connection_is_a_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = f"127.0.0.1:{full.getsockname()[1]}"
        taken = [socket.create_connection(full.getsockname()) for _ in range(1)]
        with client(address, settings=Client(connect_timeout_s=0.2)) as ours:
            assert ours(b"", HEADERS)[:2] == (-1, "timeout")
        for other in taken:
            other.close()


def test_a_kept_connection_that_the_server_closed_is_opened_again_and_that_is_told() -> None:
    def close_late(connection: Any) -> None:  # the request is there, and no byte of an answer
        connection.close()

    assert replies([answer(b"1"), close_late], [answer(b"2"), reset], [answer(b"3")], asked=3) == [
        (200, "", b"1", 0),
        (200, "", b"2", 1),
        (200, "", b"3", 1),
    ]


def test_a_connection_that_was_closed_while_nobody_asked_is_opened_again_and_that_is_told() -> None:
    def answer_and_leave(connection: Any) -> None:
        connection.sendall(answer(b"1"))
        connection.close()

    with scripted([answer_and_leave], [answer(b"2")]) as server, client(server.address) as ours:
        assert ours(b"", HEADERS).reopened == 0
        server.threads[1].join()
        gevent.sleep(0.01)  # the hub looks at its sockets
        reply = ours(b"", HEADERS)
    assert (reply.body, reply.reopened) == (b"2", 1)


def test_it_is_opened_again_once_and_no_more() -> None:
    assert replies([answer(b"1"), reset], [reset], asked=2)[1] == (-1, "reset", b"", 1)


def test_a_fresh_connection_that_is_closed_without_an_answer_is_an_error() -> None:
    assert replies([reset], [answer(b"2")], asked=1) == [(-1, "reset", b"", 0)]


def test_an_answer_that_was_begun_is_never_asked_for_again() -> None:
    assert replies([answer(b"1"), answer(b"2")[:9]], [answer(b"3")], asked=2)[1] == (-1, "closed early", b"", 0)


def test_a_server_that_closes_after_each_answer_is_obeyed_and_nothing_was_lost() -> None:
    last = answer(b"1", "Connection: close")
    assert replies([last], [last], asked=2) == [(200, "", b"1", 0)] * 2


def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    answered = threading.Event()

    def talkative(connection: Any) -> None:
        connection.sendall(answer(b"1"))
        answered.wait()
        connection.sendall(answer(b"nobody asked"))

    with scripted([talkative], [answer(b"2")]) as server, client(server.address) as ours:
        assert ours(b"", HEADERS).body == b"1"
        answered.set()
        server.threads[1].join()
        gevent.sleep(0.01)  # the hub looks at its sockets
        assert ours(b"", HEADERS)[:3] == (200, "", b"2")


def test_retries_are_off_by_default_and_counted_when_they_are_on() -> None:
    busy = answer(b"", status="503 Service Unavailable")
    assert replies([busy, answer(b"1")], asked=1) == [(503, "http 503", b"", 0)]
    with scripted([busy, busy, answer(b"1")]) as server, client(server.address, settings=Client(retries=3)) as ours:
        reply = ours(b"", HEADERS)
        assert (reply.body, reply.error, reply.retries) == (b"1", "", 2)
        assert len(server.requests) == 3
    with scripted([busy] * 5) as server, client(server.address, settings=Client(retries=2)) as ours:
        reply = ours(b"", HEADERS)
        assert (reply.error, reply.retries, len(server.requests)) == ("http 503", 2, 3)


def test_neither_a_wrong_request_nor_a_timeout_is_sent_again() -> None:
    bad = answer(b"", status="400 Bad Request")
    with scripted([bad] * 3) as server, client(server.address, settings=Client(retries=2)) as ours:
        assert ours(b"", HEADERS)[:2] == (400, "http 400")
        assert len(server.requests) == 1
    with scripted([until_closed]) as server:
        with client(server.address, settings=Client(retries=2, timeout_s=0.2)) as ours:
            assert ours(b"", HEADERS).error == "timeout"
        assert len(server.requests) == 1


def test_retries_end_with_the_time_that_a_request_has() -> None:
    with client(nobody(), settings=Client(retries=10, timeout_s=0.3)) as ours:
        begun = time.monotonic()
        reply = ours(b"", HEADERS)
        assert time.monotonic() - begun < 5.0  # ten retries would pause for ten
    assert reply.error == "refused"
    assert 2 <= reply.retries < 10


def test_nothing_is_sent_again_without_room_under_the_ceiling() -> None:
    busy = answer(b"", status="503 Service Unavailable")
    with scripted([busy] * 20) as server, client(server.address, settings=Client(retries=10)) as ours:
        ours.keep_below(Ceiling(2.0))
        assert [ours(b"", HEADERS).retries for _ in range(3)] == [0, 0, 0]
        assert len(server.requests) == 3
    with scripted([busy] * 20) as server, client(server.address, settings=Client(retries=4)) as ours:
        ours.keep_below(Ceiling(1000.0))
        assert (ours(b"", HEADERS).retries, len(server.requests)) == (4, 5)


def test_what_one_connection_sends_leaves_no_room_for_the_retries_of_another_below_the_same_ceiling() -> None:
    busy = answer(b"", status="503 Service Unavailable")
    shared, well = Ceiling(0.5), [answer(b"")]
    with (
        scripted(well, [busy] * 9) as server,
        client(server.address) as first,
        client(server.address, settings=Client(retries=8)) as second,
    ):
        for ours in (first, second):
            ours.keep_below(shared)
        assert first(b"", HEADERS).error == ""
        assert second(b"", HEADERS)[1] == "http 503"
        assert len(server.requests) == 2


def test_as_many_connections_as_requests_in_flight_and_no_more() -> None:
    both = threading.Barrier(2)

    def together(connection: Any) -> None:
        both.wait(10)
        connection.sendall(answer(b"both are there"))

    with scripted([together] * 2, [together] * 2) as server, client(server.address, connections=2) as ours:
        prepared = ours.prepare(b"", HEADERS)
        asked = [gevent.spawn(ours.send, prepared) for _ in range(4)]
        gevent.joinall(asked, timeout=10)  # nobody would take a third connection
        assert [one.value.body for one in asked] == [b"both are there"] * 4


def test_closing_tells_those_who_wait() -> None:
    with scripted([until_closed]) as server, client(server.address) as ours:
        asked = gevent.spawn(ours, b"", HEADERS)
        gevent.sleep(0.1)
        ours.close()
        assert asked.get(timeout=5)[:2] == (-1, "client closed")


def test_a_greenlet_that_is_killed_leaves_no_answer_for_the_next() -> None:
    def late(connection: Any) -> None:
        time.sleep(0.2)
        connection.sendall(answer(b"for the first"))

    with scripted([late], [answer(b"for the second")]) as server, client(server.address) as ours:
        asked = gevent.spawn(ours, b"", HEADERS)
        gevent.sleep(0.1)
        asked.kill()
        assert ours(b"", HEADERS).body == b"for the second"


def test_users_are_spread_over_the_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(*[[answer(b"a")] * 9] * 2) as first, scripted(*[[answer(b"b")] * 9] * 2, host="127.0.0.2") as second:
        resolve_to(monkeypatch, first.address, second.address)
        users = [connect("http", "replicas.test:80", "/infer", 1) for _ in range(4)]
        bodies = [[user(b"", HEADERS).body for _ in range(3)] for user in users]
        for user in users:
            user.close()
    assert sorted(bodies) == [[b"a"] * 3, [b"a"] * 3, [b"b"] * 3, [b"b"] * 3]


def test_requests_take_turns_when_they_are_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([answer(b"a")] * 9) as first, scripted([answer(b"b")] * 9, host="127.0.0.2") as second:
        resolve_to(monkeypatch, first.address, second.address)
        with client("replicas.test:80", settings=Client(spread="round-robin")) as ours:
            bodies = b"".join(ours(b"", HEADERS).body for _ in range(6))
    assert bodies in (b"ababab", b"bababa")


def test_an_address_that_is_not_there_is_stepped_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(*[[answer(b"a")]] * 2) as first:
        resolve_to(monkeypatch, first.address, nobody())
        for _ in range(2):
            with client("replicas.test:80") as ours:
                assert ours(b"", HEADERS).body == b"a"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name stand for these addresses: the test has no name server."""
    pairs = [(host, int(port)) for host, _, port in (address.rpartition(":") for address in addresses)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", pair) for pair in pairs]
    monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_, **__: found)


def test_headers_come_from_the_configuration_and_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "Bearer s3cret")
    settings = Client(headers={"Authorization": "env:MY_TOKEN", "host": "model.example.com", "X-Team": "a b"})
    with scripted([answer(b"")]) as server, client(server.address, settings=settings) as ours:
        ours(b"", HEADERS)
        head = server.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    assert sorted(head) == [
        b"Authorization: Bearer s3cret",
        b"Content-Length: 0",
        b"Content-Type: application/octet-stream",
        b"X-Team: a b",
        b"host: model.example.com",
    ]
    assert "s3cret" not in json.dumps(settings.model_dump(mode="json")) + repr(settings)


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "MY_TOKEN, which is not set"), ("", "MY_TOKEN, which is empty"), ("s3cret\n", "no header can carry")],
)
def test_a_variable_that_is_missing_or_unfit_is_refused_before_anything_is_sent(
    value: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_TOKEN", value)
    with scripted([answer(b"")]) as server:
        with pytest.raises(UsageError, match=words) as caught:
            connect("http", server.address, "/infer", 1, Client(headers={"Authorization": "env:MY_TOKEN"}))
        assert "s3cret" not in str(caught.value)
        assert server.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", ":8000", "host:port", "host:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="host:port; write"):
        connect("http", address, "/infer", 1)


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown protocol 'grcp': one of grpc, http, rest; did you mean 'grpc'"):
        connect("grcp", "127.0.0.1:1", "/infer", 1)
