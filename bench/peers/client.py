"""The load: python -m bench.peers.client, one JSON document in on stdin, one out on stdout.

Users that each wait for their answer, over connections that stay open. Over HTTP/1.1 one thread drives all sockets and
sends bytes that were made before; over gRPC the raw bytes go through grpc's asyncio client. Some of a
window's answers are kept as they came: whoever asked compares them.
"""

from __future__ import annotations

import base64
import json
import re
import select
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

TIMEOUT_S = 10.0
LARGEST_READ = 1 << 16  # room is made for so much at each read: from 128 KiB on by a mapping, which costs 12 µs
KEPT, EVERY = 32, 97  # sampled answers of a window
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """One window: where to send what, how many users, how long. ``body`` is base64."""

    protocol: str
    address: str
    target: str
    headers: dict[str, str]
    body: str
    users: int
    warm_s: float
    window_s: float


@dataclass
class Window:
    """What came of it. ``kept`` are [headers, body in base64] of sampled answers; ``cpu`` is the client's, in cores."""

    answers: int = 0
    errors: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    first_error: str = ""
    kept: list[tuple[dict[str, str], str]] = field(default_factory=list)


class Malformed(ValueError):
    """Bytes that are no HTTP/1.1 answer."""


def parse(data: bytes | bytearray) -> tuple[int, bytes, bytes, int] | None:
    """(status, head, body, bytes used) of the answer that ``data`` begins with; None while it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not data.startswith(b"HTTP/1.") or not data[9:12].isdigit():
        raise Malformed(f"not an answer: {bytes(data[:40])!r}")
    status, head = int(data[9:12]), bytes(data[:end])
    length = LENGTH.search(head)
    if length:
        stop = end + 4 + int(length[1])
        return (status, head, bytes(data[end + 4 : stop]), stop) if len(data) >= stop else None
    if CHUNKED.search(head):
        whole = _chunks(data, end + 4)
        return (status, head, *whole) if whole else None
    raise Malformed("an answer without a length")


def _chunks(data: bytes | bytearray, start: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while True:
        line = data.find(b"\r\n", start)
        if line < 0:
            return None
        size = int(data[start:line].split(b";")[0], 16)
        stop = line + 2 + size
        if len(data) < stop + 2:
            return None
        if size == 0:
            return b"".join(parts), stop + 2
        parts.append(bytes(data[line + 2 : stop]))
        start = stop + 2


def headers_of(head: bytes) -> dict[str, str]:
    """Names (in small letters) and values of an answer's head."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def request_bytes(load: Load) -> bytes:
    """The whole request, as it goes over the wire every time."""
    body = base64.b64decode(load.body)
    lines = [f"POST {load.target} HTTP/1.1", f"Host: {load.address}", *(f"{k}: {v}" for k, v in load.headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class _User:
    """One connection and its one open request."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self.buffer = b""

    def send(self, request: bytes, now: float) -> None:
        self.begun, self.buffer = now, b""
        self.socket.sendall(request)


class _Tally:
    """Counts what ends inside the window: it begins when the warm-up has ended."""

    def __init__(self, load: Load) -> None:
        self.window = Window()
        self._latencies: list[float] = []
        self._load = load
        self._started = time.perf_counter()
        self._warm = True
        self._cpu = 0.0

    def running(self, now: float) -> bool:
        if self._warm and now - self._started >= self._load.warm_s:
            self._warm, self._started, self._cpu = False, now, time.process_time()
            self._latencies.clear()
            self.window = Window(first_error=self.window.first_error)
        return self._warm or now - self._started < self._load.window_s

    def good(self, taken: float, headers: Any, body: bytes) -> None:
        window = self.window
        if window.answers % EVERY == 0 and len(window.kept) < KEPT:
            parsed = headers_of(headers) if isinstance(headers, bytes) else headers
            window.kept.append((parsed, base64.b64encode(body).decode()))
        window.answers += 1
        self._latencies.append(taken)

    def bad(self, why: str) -> None:
        self.window.errors += 1
        self.window.first_error = self.window.first_error or why

    def result(self) -> Window:
        window = self.window
        window.seconds = time.perf_counter() - self._started
        window.cpu = (time.process_time() - self._cpu) / window.seconds
        if len(self._latencies) > 1:
            cuts = statistics.quantiles(self._latencies, n=100, method="inclusive")
            window.p50_ms, window.p99_ms = cuts[49] * 1e3, cuts[98] * 1e3
        return window


def drive_http(load: Load) -> Window:
    """All users from one thread: what arrives on a socket is read, counted and followed by the next request."""
    request = request_bytes(load)
    host, port = load.address.rsplit(":", 1)
    users: dict[int, _User] = {}
    poll = select.epoll()

    def join() -> None:
        user = _User(host, int(port))
        users[user.socket.fileno()] = user
        poll.register(user.socket.fileno(), select.EPOLLIN)
        user.send(request, time.perf_counter())

    try:
        tally = _Tally(load)
        for _ in range(load.users):
            join()
        while tally.running(time.perf_counter()):
            for number, _ in poll.poll(0.1):
                user = users[number]
                try:
                    data = user.socket.recv(LARGEST_READ)
                    if not data:
                        raise ConnectionResetError("the server closed the connection")
                    user.buffer = user.buffer + data if user.buffer else data
                    answer = parse(user.buffer)
                    if answer is None:
                        continue
                    status, head, body, _ = answer
                    now = time.perf_counter()
                    if status == 200:
                        tally.good(now - user.begun, head, body)
                    else:
                        tally.bad(f"{status}: {body[:200]!r}")
                    user.send(request, now)
                except (OSError, Malformed) as error:
                    tally.bad(repr(error))
                    poll.unregister(number)
                    users.pop(number).socket.close()
                    join()
        return tally.result()
    finally:
        for user in users.values():
            user.socket.close()
        poll.close()


def drive_grpc(load: Load) -> Window:
    """All users as tasks of one event loop over one connection."""
    import asyncio

    import grpc.aio

    body = base64.b64decode(load.body)

    async def user(call: Any, tally: _Tally) -> None:
        now = time.perf_counter()
        while tally.running(now):
            try:
                answer = await call(body, timeout=TIMEOUT_S)
                ended = time.perf_counter()
                tally.good(ended - now, {}, answer)
            except grpc.aio.AioRpcError as error:
                ended = time.perf_counter()
                tally.bad(f"{error.code().name}: {error.details()}")
            now = ended

    async def main() -> Window:
        async with grpc.aio.insecure_channel(load.address) as channel:
            call = channel.unary_unary(load.target, request_serializer=None, response_deserializer=None)
            tally = _Tally(load)
            await asyncio.gather(*(user(call, tally) for _ in range(load.users)))
            return tally.result()

    return asyncio.run(main())


DRIVERS = {"http": drive_http, "grpc": drive_grpc}


def main(arguments: Sequence[str]) -> None:
    load = Load(**json.load(sys.stdin))
    try:
        window = DRIVERS[load.protocol](load)
    except OSError as error:  # nobody listens there (yet, or any more)
        window = Window(first_error=repr(error))
    print(json.dumps(asdict(window)))


if __name__ == "__main__":
    main(sys.argv[1:])
