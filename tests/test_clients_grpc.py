"""The gRPC client against grpcio's own server, and against scripted servers that use every right HTTP/2 gives them."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import gevent
import grpc
import hpack
import pytest
from gevent import socket as gevent_socket

from contract.client import Client
from contract.errors import UsageError
from loadtest.clients import Connection, Reply, connect
from loadtest.clients import http2_frames as h2
from loadtest.clients.grpc_outcome import CODES, message
from loadtest.clients.http2 import Http2
from tests.clients_peers import Scripted, nobody, reset, until_closed

METHOD = "/test.Service/Ask"


@contextmanager
def client(address: str, connections: int = 1, settings: Client | None = None) -> Iterator[Connection]:
    made = connect("grpc", address, METHOD, connections, settings or Client())
    try:
        yield made
    finally:
        made.close()


# grpcio's server.


class Service(grpc.GenericRpcHandler):
    """Answers with what it is told to; remembers what it was told about each call."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []
        self.left_s: list[float] = []
        self.cancelled = threading.Event()

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.ask) if details.method == METHOD else None

    def ask(self, request: bytes, context: Any) -> bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        self.left_s.append(context.time_remaining())
        word, _, rest = request.partition(b" ")
        if word == b"fail":
            context.abort(grpc.StatusCode[rest.decode()], "as told: ä%\n")
        if word == b"sleep":
            if not context.add_callback(self.cancelled.set):
                self.cancelled.set()  # it was cancelled before we came here
            self.cancelled.wait(float(rest))
        return rest


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Service]]:
    service = Service()
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(8), handlers=[service], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", service
    server.stop(0).wait()


@pytest.fixture
def address(served: tuple[str, Service]) -> str:
    return served[0]


@pytest.fixture
def service(served: tuple[str, Service]) -> Service:
    served[1].metadata.clear()
    served[1].left_s.clear()
    served[1].cancelled.clear()
    return served[1]


def test_bytes_go_there_and_back(address: str) -> None:
    with client(address) as ours:
        for body in (b"", b"\0\xff", b"x" * 16_385):
            reply = ours(b"echo " + body, {})
            assert (reply.status, reply.error, reply.body, reply.reopened) == (0, "", body, 0)


def test_messages_larger_than_any_window_go_there_and_back(address: str) -> None:
    large = os.urandom(20_000_000)
    with client(address, connections=2) as ours:
        asked = [gevent.spawn(ours, b"echo " + large, {}) for _ in range(2)]
        gevent.joinall(asked)
        assert [one.value.body == large for one in asked] == [True, True]


def test_a_thousand_calls_share_connections_and_each_gets_its_own_answer(address: str) -> None:
    with client(address, connections=16) as ours:

        def user(name: int) -> list[bytes]:
            return [ours(b"echo %d/%d" % (name, number), {}).body for number in range(60)]

        users = [gevent.spawn(user, name) for name in range(16)]
        gevent.joinall(users)
        assert [one.value for one in users] == [[b"%d/%d" % (n, number) for number in range(60)] for n in range(16)]


@pytest.mark.parametrize("name", CODES[1:])
def test_every_status_is_named_as_grpc_names_it(address: str, name: str) -> None:
    with client(address) as ours:
        reply = ours(b"fail " + name.encode(), {})
        assert (reply.status, reply.error, reply.body) == (grpc.StatusCode[name].value[0], f"grpc {name}", b"")


def test_an_unknown_method_is_unimplemented(address: str) -> None:
    ours = connect("grpc", address, "/test.Service/Other", 1)
    assert ours(b"", {}).error == "grpc UNIMPLEMENTED"
    ours.close()


def test_the_deadline_travels_with_the_call(address: str, service: Service) -> None:
    with client(address, settings=Client(timeout_s=7.5)) as ours:
        assert ours(b"echo", {}).error == ""
    assert 7.0 < service.left_s[0] <= 7.5


def test_a_call_that_takes_too_long_is_given_up_and_the_server_is_told(address: str, service: Service) -> None:
    with client(address, settings=Client(timeout_s=0.3)) as ours:
        begun = time.monotonic()
        reply = ours(b"sleep 10", {})
        assert time.monotonic() - begun < 5.0
        assert reply.error in ("timeout", "grpc DEADLINE_EXCEEDED")  # whoever sees it first
        assert service.cancelled.wait(5)
        assert ours(b"echo next", {}).body == b"next"


def test_a_greenlet_that_is_killed_cancels_its_call(address: str, service: Service) -> None:
    with client(address) as ours:
        asked = gevent.spawn(ours, b"sleep 10", {})
        gevent.sleep(0.2)
        asked.kill()
        gevent.sleep(0.01)
        assert service.cancelled.wait(5)
        assert ours(b"echo next", {}).body == b"next"


def test_headers_travel_as_metadata(address: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "Bearer s3cret")
    with client(address, settings=Client(headers={"Authorization": "env:MY_TOKEN", "X-Team": "a b"})) as ours:
        assert ours(b"echo", {}).error == ""
    assert service.metadata[0]["authorization"] == "Bearer s3cret"
    assert service.metadata[0]["x-team"] == "a b"


def test_a_missing_variable_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(UsageError, match="MY_TOKEN, which is not set"):
        connect("grpc", nobody(), METHOD, 1, Client(headers={"Authorization": "env:MY_TOKEN"}))


def test_headers_for_http_do_not_change_what_grpc_says_of_itself(address: str, service: Service) -> None:
    with client(address, settings=Client(headers={"Content-Type": "application/json", "Host": "model.test"})) as ours:
        assert ours(b"echo x", {}).body == b"x"
    with pytest.raises(UsageError, match=r"take \d+ bytes, gRPC has 16384"):
        connect("grpc", address, METHOD, 1, Client(headers={"X-Long": "x" * 17_000}))


def test_nobody_there_is_refused_and_a_server_that_comes_later_is_found() -> None:
    with client(nobody()) as ours:
        assert ours(b"", {})[:2] == (-1, "refused")
    with client("no-such-host.invalid:80") as ours:
        assert ours(b"", {})[:2] == (-1, "unknown host")


def test_a_server_that_stops_between_calls_is_found_again_when_it_is_back() -> None:
    def start(port: int) -> tuple[Any, int]:
        server = grpc.server(ThreadPoolExecutor(2), handlers=[Service()])
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        return server, bound

    server, port = start(0)
    with client(f"127.0.0.1:{port}") as ours:
        assert ours(b"echo 1", {}).body == b"1"
        server.stop(0).wait()
        gevent.sleep(0.05)
        assert ours(b"echo 2", {}).error in ("refused", "closed early", "reset", "grpc UNAVAILABLE")
        server, _ = start(port)
        assert ours(b"echo 3", {}).body == b"3"
        server.stop(0).wait()


# A scripted server.

HELD: dict[int, int] = {}


class Peer:
    """The server's end of one connection, frame by frame."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._data = b""
        self._decoder = hpack.Decoder()
        assert self._take(len(h2.PREFACE)) == h2.PREFACE

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            more = self.connection.recv(65_536)
            if not more:
                raise ConnectionError("the client has left")
            self._data += more
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def frame(self, *kinds: int) -> tuple[int, int, int, bytes]:
        """The next frame of one of these kinds; others are stepped over."""
        while True:
            head = self._take(9)
            payload = self._take(int.from_bytes(head[:3], "big"))
            if not kinds or head[3] in kinds:
                return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    def call(self) -> tuple[int, dict[str, str], bytes]:
        """The next whole call: stream, headers, message with its head."""
        _, flags, stream, block = self.frame(h2.HEADERS)
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        data = b""
        while not flags & h2.END_STREAM:
            _, flags, number, payload = self.frame(h2.DATA)
            assert number == stream
            data += payload
        return stream, headers, data

    def send(self, *frames: bytes) -> None:
        self.connection.sendall(b"".join(frames))


class ScriptedH2(Scripted):
    """Each connection is one function of its Peer."""

    def serve(self, connection: Any, steps: Sequence[Any]) -> None:
        connection.sendall(h2.settings(HELD))
        peer = Peer(connection)
        for step in steps:
            step(peer)
        until_closed(connection)


@contextmanager
def scripted(*connections: Callable[[Peer], None], settings: dict[int, int] | None = None) -> Iterator[ScriptedH2]:
    """A server whose n-th connection does what the n-th function does, then waits until the client leaves."""
    HELD.clear()
    HELD.update(settings or {})
    server = ScriptedH2([[step] for step in connections], None, "127.0.0.1")
    try:
        yield server
        assert [error for error in server.failures if not isinstance(error, ConnectionError)] == []
    finally:
        server.close()


def block(*headers: tuple[str, str]) -> bytes:
    """A server's headers: Huffman-coded, and without a table as it was told."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(headers, huffman=True)


OPENED = block((":status", "200"), ("content-type", "application/grpc"))
OK = block(("grpc-status", "0"))


def good(stream: int, body: bytes = b"good") -> bytes:
    """A whole good answer."""
    return (
        h2.frame(h2.HEADERS, h2.END_HEADERS, stream, OPENED)
        + h2.frame(h2.DATA, 0, stream, message(body))
        + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, OK)
    )


def answer_one(peer: Peer) -> None:
    peer.send(good(peer.call()[0]))


def asked(
    *connections: Callable[[Peer], None], calls: int = 1, settings: Client | None = None, body: bytes = b""
) -> list[Reply]:
    """The replies to so many calls, one after the other."""
    with scripted(*connections) as server, client(server.address, settings=settings) as ours:
        return [ours(body, {}) for _ in range(calls)]


def test_the_call_is_what_grpc_says_a_call_is() -> None:
    seen: list[Any] = []

    def look(peer: Peer) -> None:
        stream, headers, data = peer.call()
        seen.append((stream, headers, data))
        peer.send(good(stream))

    with scripted(look) as server, client(server.address) as ours:
        assert ours(b"body", {}).body == b"good"
        assert seen == [
            (
                1,
                {
                    ":method": "POST",
                    ":scheme": "http",
                    ":path": METHOD,
                    ":authority": server.address,
                    "user-agent": "loadproof",
                    "te": "trailers",
                    "content-type": "application/grpc",
                    "grpc-timeout": "30000m",
                },
                b"\0\0\0\0\4body",
            )
        ]


def test_frames_come_in_any_pieces_with_padding_priority_and_continuations() -> None:
    def odd(peer: Peer) -> None:
        stream, _, _ = peer.call()
        half = len(OPENED) // 2
        padded = b"\3" + b"\0\0\0\0\x10" + OPENED[:half] + b"\0\0\0"
        data = message(b"good")
        everything = (
            h2.frame(99, 7, stream, b"a kind that nobody knows")
            + h2.frame(h2.HEADERS, h2.PADDED | h2.PRIORITY, stream, padded)
            + h2.frame(h2.CONTINUATION, h2.END_HEADERS, stream, OPENED[half:])
            + h2.frame(h2.DATA, h2.PADDED, stream, b"\2" + data[:3] + b"\0\0")
            + h2.frame(h2.DATA, 0, stream, b"")
            + h2.frame(h2.DATA, 0, stream, data[3:])
            + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, OK)
        )
        for at in range(len(everything)):
            peer.send(everything[at : at + 1])

    assert asked(odd)[0].body == b"good"


def test_pings_and_settings_are_answered() -> None:
    def ask_back(peer: Peer) -> None:
        stream, _, _ = peer.call()
        peer.send(h2.frame(h2.PING, 0, 0, b"12345678"), h2.settings({h2.MAX_FRAME_SIZE: 20_000}))
        assert peer.frame(h2.PING)[1:] == (h2.ACK, 0, b"12345678")
        assert peer.frame(h2.SETTINGS)[1:] == (h2.ACK, 0, b"")
        peer.send(good(stream))

    assert asked(ask_back)[0].body == b"good"


def test_no_byte_more_is_sent_than_the_windows_allow() -> None:
    sizes: list[int] = []

    def narrow(peer: Peer) -> None:
        answer_one(peer)
        _, _, stream, _ = peer.frame(h2.HEADERS)
        for _ in range(7):  # 100,005 bytes = 10,000 + 6 * 15,000 + 5
            sizes.append(len(peer.frame(h2.DATA)[3]))
            peer.connection.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.frame()
            peer.connection.settimeout(20)
            peer.send(h2.window_update(stream, 15_000), h2.window_update(0, 15_000))
        _, flags, _, payload = peer.frame(h2.DATA)
        sizes.append(len(payload))
        assert flags & h2.END_STREAM
        peer.send(good(stream))

    with scripted(narrow, settings={h2.INITIAL_WINDOW_SIZE: 10_000}) as server, client(server.address) as ours:
        assert ours(b"", {}).body == b"good"  # now the settings are known
        assert ours(b"x" * 100_000, {}).body == b"good"
    assert sizes == [10_000, *[15_000] * 6, 5]


def test_calls_wait_while_the_server_allows_no_further_stream() -> None:
    most: list[int] = []

    def one_at_a_time(peer: Peer) -> None:
        answer_one(peer)
        for _ in range(3):
            stream, _, _ = peer.call()
            peer.connection.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.frame(h2.HEADERS)
            peer.connection.settimeout(20)
            most.append(stream)
            peer.send(good(stream))

    one = {h2.MAX_CONCURRENT_STREAMS: 1}
    with scripted(one_at_a_time, settings=one) as server, client(server.address, connections=3) as ours:
        assert ours(b"", {}).body == b"good"  # now the settings are known
        calls = [gevent.spawn(ours, b"", {}) for _ in range(3)]
        assert [call.get(timeout=20).body for call in calls] == [b"good"] * 3
    assert most == [3, 5, 7]


def test_a_server_that_goes_away_finishes_what_it_began_and_the_rest_is_asked_elsewhere() -> None:
    def leave(peer: Peer) -> None:
        first, second = peer.call()[0], peer.call()[0]
        peer.send(h2.frame(h2.GOAWAY, 0, 0, first.to_bytes(4, "big") + b"\0\0\0\0"))
        time.sleep(0.1)
        peer.send(good(first, b"begun"), good(second, b"nobody waits for that"))

    def take_over(peer: Peer) -> None:
        peer.send(good(peer.call()[0], b"taken over"))
        answer_one(peer)

    with scripted(leave, take_over) as server, client(server.address, connections=2) as ours:
        calls = [gevent.spawn(ours, b"", {}) for _ in range(2)]
        replies = [call.get(timeout=20) for call in calls]
        assert [(reply.body, reply.reopened) for reply in replies] == [(b"begun", 0), (b"taken over", 1)]
        assert ours(b"", {}).reopened == 0


def test_a_connection_that_failed_a_call_is_no_kept_connection_that_was_lost() -> None:
    def break_off(peer: Peer) -> None:
        peer.call()
        peer.send(b"\xff" * 64)

    first, second = asked(break_off, answer_one, calls=2)
    assert (first.error, first.reopened) == ("malformed answer", 0)
    assert (second.body, second.reopened) == (b"good", 0), "it was counted as a failure"


def test_a_kept_connection_that_the_server_left_is_told_of_the_next_call() -> None:
    noticed = threading.Event()

    def leave_afterwards(peer: Peer) -> None:
        answer_one(peer)
        peer.connection.shutdown(socket.SHUT_WR)
        until_closed(peer.connection)
        noticed.set()

    with scripted(leave_afterwards, answer_one) as server, client(server.address) as ours:
        assert ours(b"", {}).reopened == 0
        with gevent.Timeout(20):
            while not noticed.is_set():
                gevent.sleep(0.01)
        second = ours(b"", {})
        assert (second.body, second.reopened) == (b"good", 1)


def test_a_refused_stream_is_asked_again_once() -> None:
    def refuse(peer: Peer) -> None:
        peer.send(h2.reset(peer.call()[0], h2.REFUSED_STREAM))
        answer_one(peer)
        for _ in range(2):
            peer.send(h2.reset(peer.call()[0], h2.REFUSED_STREAM))

    first, second = asked(refuse, calls=2)
    assert (first.body, first.reopened) == (b"good", 1)
    assert (second.error, second.status) == ("grpc UNAVAILABLE", 14)


@pytest.mark.parametrize(("code", "name"), [(2, "INTERNAL"), (8, "CANCELLED"), (11, "RESOURCE_EXHAUSTED")])
def test_a_reset_stream_has_the_status_that_grpc_gives_it(code: int, name: str) -> None:
    def drop(peer: Peer) -> None:
        peer.send(h2.reset(peer.call()[0], code))
        answer_one(peer)

    assert [reply.error for reply in asked(drop, calls=2)] == [f"grpc {name}", ""]


def only_headers(*headers: tuple[str, str]) -> Callable[[Peer], None]:
    def step(peer: Peer) -> None:
        peer.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, peer.call()[0], block(*headers)))
        answer_one(peer)

    return step


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([(":status", "200"), ("grpc-status", "8")], "grpc RESOURCE_EXHAUSTED"),
        ([(":status", "200"), ("grpc-status", "77")], "grpc UNKNOWN"),
        ([(":status", "200"), ("grpc-status", "ok")], "grpc UNKNOWN"),
        ([(":status", "503")], "grpc UNAVAILABLE"),
        ([(":status", "404")], "grpc UNIMPLEMENTED"),
        ([(":status", "418")], "grpc UNKNOWN"),
        ([(":status", "200")], "malformed answer"),
        ([(":status", "200"), ("grpc-status", "0")], "malformed answer"),  # good, and without a message
    ],
)
def test_a_call_that_ends_without_a_message_has_a_class(headers: list[tuple[str, str]], error: str) -> None:
    assert [reply.error for reply in asked(only_headers(*headers), calls=2)] == [error, ""]


def raw(data: bytes) -> Callable[[Peer], None]:
    """Answer a call with these bytes; ``%s`` of the stream is 1."""

    def step(peer: Peer) -> None:
        peer.call()
        peer.send(data)

    return step


HEADERS_1 = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, OPENED)
BREAKS = {
    "http/1.1": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "huge frame": b"\xff\xff\xff\0\0\0\0\0\1",
    "table that was forbidden": h2.frame(h2.HEADERS, h2.END_HEADERS, 1, hpack.Encoder().encode([("a", "b")]) + b"\xbe"),
    "headers cut off": h2.frame(h2.HEADERS, h2.END_HEADERS, 1, OPENED[:-1]),
    "padding beyond the frame": h2.frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1, b"\xff" + OPENED),
    "interrupted headers": h2.frame(h2.HEADERS, 0, 1, OPENED) + h2.frame(h2.DATA, 0, 1, b"x"),
    "continuation of nothing": h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, OPENED),
    "endless headers": h2.frame(h2.HEADERS, 0, 1, b"") + h2.frame(h2.CONTINUATION, 0, 1, b"\0" * 16_000) * 5,
    "push": h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, b"\0\0\0\2" + OPENED),
    "window too large": h2.settings({h2.INITIAL_WINDOW_SIZE: 2**31}),
    "frame too small": h2.settings({h2.MAX_FRAME_SIZE: 1}),
    "half a setting": h2.frame(h2.SETTINGS, 0, 0, b"\0\0\0"),
    "short reset": h2.frame(h2.RST_STREAM, 0, 1, b"\0"),
    "compressed": HEADERS_1
    + h2.frame(h2.DATA, 0, 1, b"\1\0\0\0\1x")
    + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, OK),
    "message longer than it says": HEADERS_1
    + h2.frame(h2.DATA, 0, 1, message(b"x") + b"more")
    + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, OK),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_the_protocol_is_malformed(name: str) -> None:
    assert asked(raw(BREAKS[name]))[0][:3] == (-1, "malformed answer", b"")


def test_whatever_comes_there_is_a_reply_and_never_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *what: raised.append(what))
    said = h2.settings({h2.INITIAL_WINDOW_SIZE: 1000, h2.MAX_CONCURRENT_STREAMS: 2}) + good(1) + HEADERS_1
    said += h2.window_update(3, 1000) + h2.frame(h2.GOAWAY, 0, 0, b"\0\0\0\3\0\0\0\0") + h2.reset(3, 7)
    chance = random.Random(2)
    errors = set()
    for _ in range(400):
        near, far = gevent_socket.socketpair()
        near.settimeout(0.0)
        connection = Http2(near)
        calls = [gevent.spawn(connection.call, b"\x83", b"x" * 2000, 1 << 62) for _ in range(3)]
        gevent.sleep(0)
        mangled = bytearray(said)
        for _ in range(chance.randrange(4)):
            mangled[chance.randrange(len(mangled))] = chance.randrange(256)
        far.sendall(mangled)
        far.close()
        errors |= {call.get(timeout=5).error for call in calls}
    assert raised == []
    assert {"", "malformed answer", "grpc UNAVAILABLE"} <= errors


def test_the_calls_that_one_read_brings_about_go_out_in_one_send() -> None:
    near, far = gevent_socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # each recv is one send
    near.settimeout(0.0)
    connection = Http2(near)

    def user() -> list[bytes]:
        return [connection.call(b"\x83", message(b""), 1 << 62).body for _ in range(2)]

    users = [gevent.spawn(user) for _ in range(3)]
    sent = [far.recv(65_536) for _ in range(4)]  # the preface and the first calls, which came one by one
    assert sent[0].startswith(h2.PREFACE)
    far.sendall(b"".join(good(stream) for stream in (1, 3, 5)))
    kinds = [(kind, stream) for kind, _, stream, _ in h2.Frames().cut(far.recv(65_536), h2.SMALLEST_FRAME)]
    assert kinds == [(kind, stream) for stream in (7, 9, 11) for kind in (h2.HEADERS, h2.DATA)]
    far.sendall(b"".join(good(stream) for stream in (7, 9, 11)))
    assert [one.get(timeout=5) for one in users] == [[b"good", b"good"]] * 3
    connection.close()
    far.close()


def test_a_connection_that_ends_in_a_call_is_a_class_of_its_own() -> None:
    def ending(end: Callable[[Any], None]) -> Callable[[Peer], None]:
        def step(peer: Peer) -> None:
            peer.call()
            end(peer.connection)

        return step

    # Not closed outright: what had not been read by then (the client's last SETTINGS) would make a reset of it.
    assert asked(ending(lambda connection: connection.shutdown(socket.SHUT_WR)))[0].error == "closed early"
    assert asked(ending(reset))[0].error == "reset"


def test_a_silent_server_is_a_timeout_and_is_told_that_nobody_waits() -> None:
    cancelled = threading.Event()

    def silent(peer: Peer) -> None:
        stream, _, _ = peer.call()
        assert peer.frame(h2.RST_STREAM)[2:] == (stream, b"\0\0\0\x08")
        cancelled.set()
        answer_one(peer)

    first, second = asked(silent, calls=2, settings=Client(timeout_s=0.3))
    assert (first.status, first.error, second.body) == (-1, "timeout", b"good")
    assert cancelled.is_set()


def test_the_first_byte_is_seen_when_it_comes() -> None:
    def slowly(peer: Peer) -> None:
        whole = good(peer.call()[0])
        peer.send(whole[: len(HEADERS_1)])
        time.sleep(0.5)
        peer.send(whole[len(HEADERS_1) :])

    reply = asked(slowly)[0]
    assert 250_000_000 < time.monotonic_ns() - reply.first_byte_ns < 10_000_000_000


def test_closing_tells_those_who_wait() -> None:
    with scripted(lambda peer: None) as server, client(server.address) as ours:
        waiting = gevent.spawn(ours, b"", {})
        gevent.sleep(0.1)
        ours.close()
        assert waiting.get(timeout=5)[:2] == (-1, "client closed")


def test_retries_are_counted_and_have_only_the_time_that_is_left() -> None:
    told: list[str] = []

    def busy(peer: Peer) -> None:
        for _ in range(3):
            stream, headers, _ = peer.call()
            told.append(headers["grpc-timeout"])
            status = block((":status", "200"), ("grpc-status", "14"))
            peer.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, status))

    reply = asked(busy, settings=Client(retries=2, timeout_s=9))[0]
    assert (reply.error, reply.retries) == ("grpc UNAVAILABLE", 2)
    left = [int(value.removesuffix("m")) for value in told]
    assert left[0] == 9000 and 8000 < left[2] < left[1] < 9000


def test_calls_share_connections_as_they_are_told_to_and_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve_all(name: bytes) -> Callable[[Peer], None]:
        def step(peer: Peer) -> None:
            for _ in range(2):
                peer.send(good(peer.call()[0], name))

        return step

    with scripted(serve_all(b"a")) as first, scripted(serve_all(b"b")) as second:
        ports = [int(server.address.rpartition(":")[2]) for server in (first, second)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_, **__: found)
        with client("replicas.test:80", settings=Client(spread="round-robin")) as ours:
            bodies = b"".join(ours(b"", {}).body for _ in range(4))
    assert bodies in (b"abab", b"baba")


def test_users_that_know_nothing_of_each_other_share_connections() -> None:
    def two_at_once(peer: Peer) -> None:
        for stream in [peer.call()[0], peer.call()[0]]:
            peer.send(good(stream))

    settings = Client(calls_per_channel=2)
    with scripted(two_at_once, two_at_once) as server:
        users = [connect("grpc", server.address, METHOD, 1, settings) for _ in range(4)]
        calls = [gevent.spawn(user, b"", {}) for user in users]
        assert [call.get(timeout=5).body for call in calls] == [b"good"] * 4
        for user in users:
            user.close()


def test_a_connection_stays_while_one_of_its_users_does() -> None:
    def three(peer: Peer) -> None:
        for _ in range(3):
            answer_one(peer)

    with scripted(three, answer_one) as server:
        first, second = (connect("grpc", server.address, METHOD, 1) for _ in range(2))
        assert [user(b"", {}).error for user in (first, second)] == ["", ""]
        first.close()
        assert second(b"", {})[:2] == (0, "")
        second.close()
        with client(server.address) as third:
            assert third(b"", {}).reopened == 0
