"""The HTTP/1.1 server alone, spoken to over a bare socket: what a client library never sends is the point."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from serving.tfserving.http11 import Request, Response
from serving.tfserving.http_body import MAX_BODY, MAX_UNPACKED
from serving.tfserving.http_lines import MAX_HEADERS, MAX_LINE
from serving.tfserving.http_server import HttpServer

BOMB = gzip.compress(bytes(MAX_UNPACKED + 1))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Door:
    """A handler that waits, inside a request for /wait, until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: Request) -> Response:
        if request.path == "/wait":
            self.entered.set()
            self.opened.wait(10)
        return Response(200, "text/plain", f"{request.method} {request.path} ".encode() + request.body)


class Client:
    """Bytes out, whole responses in."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self._socket.makefile("rb")

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def end(self) -> None:
        """Send no more, and go on listening."""
        self._socket.shutdown(socket.SHUT_WR)

    def response(self) -> tuple[int, bytes, bool]:
        """Status, body, and whether the server announced that it closes."""
        status = int(self._file.readline().split()[1])
        length, closes = 0, False
        while (line := self._file.readline().strip().lower()) != b"":
            length = int(line.partition(b":")[2]) if line.startswith(b"content-length") else length
            closes = closes or line == b"connection: close"
        return status, self._file.read(length), closes

    def ask(self, raw: bytes) -> tuple[int, bytes, bool]:
        self.send(raw)
        return self.response()

    def at_end(self) -> bool:
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


Dial = Callable[[int], Client]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Opens clients, and closes them all afterwards."""
    with ExitStack() as stack:

        def opened(port: int) -> Client:
            client = Client(port)
            stack.callback(client.close)
            return client

        yield opened


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    server = HttpServer("127.0.0.1", number, Door())
    server.start()
    yield number
    server.stop(5)


def test_a_connection_carries_many_requests_pipelined_ones_too(port: int, dial: Dial) -> None:
    client = dial(port)
    client.send(
        b"GET /a?q=1 HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi\r\nGET /c HTTP/1.1\r\n\r\n"
    )
    assert [client.response()[1] for _ in range(3)] == [b"GET /a?q=1 ", b"POST /b hi", b"GET /c "]


def test_the_client_decides_whether_the_connection_stays(port: int, dial: Dial) -> None:
    closing = dial(port)
    assert closing.ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n") == (200, b"GET / ", True)
    assert closing.at_end()
    assert dial(port).ask(b"GET / HTTP/1.0\r\n\r\n")[2]
    assert not dial(port).ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[2]


def test_a_body_that_is_waited_for_is_asked_for(port: int, dial: Dial) -> None:
    client = dial(port)
    assert client.ask(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")[0] == 100
    assert client.ask(b"ok") == (200, b"POST / ok", False)


def test_bodies_in_chunks_and_in_gzip_leave_the_connection_for_the_next_request(port: int, dial: Dial) -> None:
    client, packed = dial(port), gzip.compress(b"packed")
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"
    zipped = b"POST /b HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed)
    broken = b"POST /c HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nbroken"
    client.send(chunked + zipped + broken + b"GET /d HTTP/1.1\r\n\r\n")
    answers = [client.response()[1] for _ in range(4)]
    assert answers == [b"POST /a hello", b"POST /b packed", b"POST /c ", b"GET /d "]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(BOMB), BOMB), 413),
        (b"GET /" + b"a" * (MAX_LINE + 1), 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_HEADERS, 431),
    ],
)
def test_what_cannot_be_read_safely_is_refused_and_the_connection_closed(
    port: int, dial: Dial, raw: bytes, status: int
) -> None:
    answered, _, closes = dial(port).ask(raw)
    assert (answered, closes) == (status, True)


def test_a_client_that_leaves_in_the_middle_harms_nobody(port: int, dial: Dial) -> None:
    dial(port).send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
    dial(port).send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc")
    assert dial(port).ask(b"GET / HTTP/1.1\r\n\r\n")[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /wait HT",
        b"GET /wait HTTP/1.1",
        b"GET /wait HTTP/1.1\r\n",
        b"POST /wait HTTP/1.1\r\nHost: x\r\n",
        b"POST /wait HTTP/1.1\r\nContent-Length: 2\r\n\r\nh",
        b"POST /wait HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"POST /wait HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
    ],
)
def test_half_a_request_is_neither_answered_nor_handled(dial: Dial, raw: bytes) -> None:
    door, number = Door(), free_port()
    door.opened.set()
    server = HttpServer("127.0.0.1", number, door)
    server.start()
    try:
        client = dial(number)
        client.send(raw)
        client.end()
        assert client.at_end()
        assert not door.entered.is_set()
    finally:
        server.stop(5)


def test_stopping_answers_what_has_arrived_and_closes_what_idles(dial: Dial) -> None:
    door, number = Door(), free_port()
    server = HttpServer("127.0.0.1", number, door)
    server.start()
    idle, busy = dial(number), dial(number)
    assert idle.ask(b"GET / HTTP/1.1\r\n\r\n")[0] == 200
    busy.send(b"GET /wait HTTP/1.1\r\n\r\n")
    assert door.entered.wait(10)
    stopping = threading.Thread(target=server.stop, args=(10,))
    stopping.start()
    assert idle.at_end()
    door.opened.set()
    assert busy.response() == (200, b"GET /wait ", True)
    stopping.join(10)
    with pytest.raises(ConnectionRefusedError):
        dial(number)


def test_stopping_does_not_wait_longer_than_its_grace(dial: Dial) -> None:
    door, number = Door(), free_port()
    server = HttpServer("127.0.0.1", number, door)
    server.start()
    dial(number).send(b"GET /wait HTTP/1.1\r\n\r\n")
    assert door.entered.wait(10)
    server.stop(0.05)
    door.opened.set()
