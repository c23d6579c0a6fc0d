"""HTTP/1.1: one thread drives all sockets and sends bytes that were made before."""

from __future__ import annotations

import base64
import re
import select
import socket
import time

from bench.peers.window import TIMEOUT_S, Load, Tally, Window

LARGEST_READ = 1 << 16  # room is made for so much at each read: from 128 KiB on by a mapping, which costs 12 µs
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


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


def drive(load: Load) -> Window:
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
        tally = Tally(load)
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
                        tally.good(now - user.begun, body, head)
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
