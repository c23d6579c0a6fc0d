"""A server whose every fifth answer is a failure, each time another one, over HTTP or gRPC; it counts what it did.

All others are the one answer that it knows. It is shaped like Triton as far as the load can tell, and lives in the
process of the test. What is sent and what is cut off is decided here byte by byte, so the framing is that of the null
servers.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.codecs.triton_http import LENGTH_HEADER
from contract.endpoints import Protocol
from loadtest.null.delay import Hold, NullOptions
from loadtest.null.grpc import DATA, END_HEADERS, END_STREAM, HEADERS, HEADERS_BLOCK, TRAILERS_BLOCK, Grpc, frame
from loadtest.null.http import Http, prepared
from loadtest.null.speech import Speech

FAILURES = ("garbage", "reset", "shed", "silence", "wrong values", "wrong shape")
EVERY = 5
DELAY_S = 0.005
GARBAGE = b"\x16\x03\x01\x02\x00 not what was asked for\r\n\r\n"  # neither the head of an HTTP answer nor a frame
BUSY_BLOCK = b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x0214"  # UNAVAILABLE, in trailers alone
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


DROPPED = "dropped"  # a reset before the first byte of an answer, over a connection that has carried one before


class Answer(NamedTuple):
    """A message of the model's, in Triton's form for the protocol; over HTTP with the size of its JSON header."""

    body: bytes
    header_size: int = 0


def http_answer(request: int, answer: Answer) -> bytes:
    return prepared({LENGTH_HEADER: str(answer.header_size)}, answer.body)


def http_busy(request: int) -> bytes:
    return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"


def grpc_answer(request: int, answer: Answer) -> bytes:
    message = b"\0" + struct.pack(">I", len(answer.body)) + answer.body
    head = frame(HEADERS, END_HEADERS, request, HEADERS_BLOCK)
    return head + frame(DATA, 0, request, message) + frame(HEADERS, END_HEADERS | END_STREAM, request, TRAILERS_BLOCK)


def grpc_busy(request: int) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, request, BUSY_BLOCK)


class Side(NamedTuple):
    """A protocol: who finds the requests, a whole answer, and the refusal of who has too much to do."""

    speech: Callable[[NullOptions], Speech]
    answer: Callable[[int, Answer], bytes]
    busy: Callable[[int], bytes]


SIDES: dict[Protocol, Side] = {
    "http": Side(Http, http_answer, http_busy),
    "grpc": Side(Grpc, grpc_answer, grpc_busy),
}


@dataclass
class Failing:
    """The server. ``answers`` has the right one as "right", and a lie for each failure that is one."""

    protocol: Protocol
    answers: dict[str, Answer]
    failures: tuple[str, ...] = FAILURES
    port: int = 0
    did: list[tuple[int, str]] = field(default_factory=list)  # CLOCK_MONOTONIC ns of the arrival, "right" or a failure
    _asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self, what: str, since_ns: int = 0, until_ns: int = 1 << 63) -> int:
        """How often it did this to requests that arrived in between."""
        return sum(done == what and since_ns <= arrived < until_ns for arrived, done in list(self.did))

    def next(self, kept: bool) -> str:
        """What becomes of the request that has just arrived; ``kept``: over a connection that carried an answer."""
        arrived = time.monotonic_ns()
        with self._lock:
            self._asked += 1
            turn, rest = divmod(self._asked, EVERY)
            what = "right" if rest else self.failures[turn % len(self.failures)]
            if what == DROPPED and not kept:
                what = "right"
            self.did.append((arrived, what))
        return what

    def serve(self, connection: socket.socket) -> None:
        """One connection: answer after answer, until the client leaves or is thrown out."""
        side = SIDES[self.protocol]
        speech = side.speech(NullOptions(0, {}, b"", Hold(), None))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(speech.opening())
        kept = False
        while data := connection.recv(65536):
            requests, at_once = speech.received(data)
            connection.sendall(at_once)
            for request in requests:
                what = self.next(kept)
                time.sleep(DELAY_S)
                if what == DROPPED:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                    return
                if what == "reset":
                    # Not before a byte of it was sent: what is lost before goes over a new connection, as it should.
                    begun = side.answer(request, self.answers["right"])
                    connection.sendall(begun[: len(begun) // 2])
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                    return
                connection.sendall(self._said(side, request, what))
                kept = True

    def _said(self, side: Side, request: int, what: str) -> bytes:
        said = {"garbage": GARBAGE, "shed": side.busy(request), "silence": b""}
        return said[what] if what in said else side.answer(request, self.answers[what])


@contextmanager
def failing_server(
    protocol: Protocol, answers: dict[str, Answer], failures: tuple[str, ...] = FAILURES
) -> Iterator[Failing]:
    """It runs within the block, on a free port of loopback."""
    failing = Failing(protocol, answers, failures)

    def handle(connection: socket.socket) -> None:
        with connection:
            try:
                failing.serve(connection)
            except OSError:
                return  # the client is gone

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the block is over
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=socket.SOMAXCONN) as listener:
        failing.port = int(listener.getsockname()[1])
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield failing
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # which wakes who accepts
