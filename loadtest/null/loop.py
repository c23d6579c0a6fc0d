"""The loop of the null servers: one thread, epoll, answers that are sent at once or wait until they are due.

A null server must be faster than the client that it certifies, so it does as little as can be done: a protocol finds
where requests end and makes the bytes of an answer. Answers that are held wait in a queue, and nobody waits for them.
"""

from __future__ import annotations

import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from contract.errors import ServerError
from loadtest.null.delay import Hold, NullOptions, Seen, parse
from loadtest.null.speech import Speech
from loadtest.null.tls import Encrypted

CHUNK = 1 << 16  # room is made for so much at each read: from 128 KiB on by a mapping, which costs 12 µs
SO_TIMESTAMPNS = 35  # of Linux; Python does not name it
TIMESPEC = struct.Struct("@qq")


class Connection:
    """One client, and what it has not yet taken of the answers."""

    def __init__(self, accepted: socket.socket, speech: Speech) -> None:
        self.socket = accepted
        self.speech = speech
        self.unsent = b""


def serve(program: str, description: str, arguments: Sequence[str], speak: Callable[[NullOptions], Speech]) -> NoReturn:
    """Be a null server until SIGTERM: print the port, answer, write what was seen."""
    options = parse(program, description, list(arguments))
    seen = Seen(options.seen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _listening(options.port) as listener:
        loop = Loop(listener, lambda: _spoken(speak(options), options), options.hold, seen)
        print(listener.getsockname()[1], flush=True)
        try:
            loop.run()
        finally:
            seen.write()


def _spoken(plain: Speech, options: NullOptions) -> Speech:
    return plain if options.tls is None else Encrypted(options.tls, plain)


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=socket.SOMAXCONN)
    except OSError as error:
        raise ServerError(f"port {port} cannot be used: {error.strerror}; --port 0 takes a free one") from None


class Loop:
    """Accepts, reads, holds and sends."""

    def __init__(self, listener: socket.socket, speak: Callable[[], Speech], hold: Hold, seen: Seen) -> None:
        self._listener = listener
        self._speak = speak
        self._hold = hold
        self._seen = seen
        self._held: deque[tuple[int, int, Connection, int]] = deque()  # due, arrived, who, request: by when it is due
        self._connections: dict[int, Connection] = {}
        self._epoll = select.epoll()

    def run(self) -> NoReturn:
        """Answer until the process is told to end."""
        listening = self._listener.fileno()
        self._listener.setblocking(False)
        self._epoll.register(listening, select.EPOLLIN)
        while True:
            for number, event in self._wait():
                if number == listening:
                    self._accept()
                elif event & select.EPOLLOUT:
                    self._send(self._connections[number], b"")
                else:
                    self._read(self._connections[number])
            self._release()

    def _wait(self) -> list[tuple[int, int]]:
        """What is ready, at the latest when the next held answer is due."""
        if not self._held:
            return self._epoll.poll()
        # epoll waits in whole milliseconds, select in microseconds: so select waits for epoll.
        left = (self._held[0][0] - time.monotonic_ns()) / 1e9
        select.select([self._epoll], [], [], max(0.0, left))
        return self._epoll.poll(0)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # it left before it was let in
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._hold:
            accepted.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        connection = self._connections[accepted.fileno()] = Connection(accepted, self._speak())
        self._epoll.register(accepted.fileno(), select.EPOLLIN)
        self._send(connection, connection.speech.opening())

    def _read(self, connection: Connection) -> None:
        try:
            data, arrived = self._receive(connection.socket)
            requests, at_once = connection.speech.received(data) if data else ([], b"")
        except BlockingIOError:
            return
        except (OSError, ValueError):
            data = b""
        if not data:
            self._close(connection)
            return
        if at_once:
            self._send(connection, at_once)
        for request in requests:
            if self._hold:
                self._held.append((self._hold.due(arrived), arrived, connection, request))
            else:
                self._send(connection, connection.speech.answer(request))

    def _receive(self, accepted: socket.socket) -> tuple[bytes, int]:
        """What has come, and when it had: by the kernel's clock where it matters, for waking up takes time as well."""
        if not self._hold:
            return accepted.recv(CHUNK), 0
        data, stamps, _, _ = accepted.recvmsg(CHUNK, socket.CMSG_SPACE(TIMESPEC.size))
        now = time.monotonic_ns()
        for _, kind, stamp in stamps:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = TIMESPEC.unpack(stamp)
                # The stamp is of CLOCK_REALTIME, which may be set; its age is not.
                now -= max(0, time.time_ns() - seconds * 1_000_000_000 - nanoseconds)
        return data, now

    def _release(self) -> None:
        """Send the held answers that are due."""
        while self._held and self._held[0][0] <= time.monotonic_ns():
            _, arrived, connection, request = self._held.popleft()
            answer = connection.speech.answer(request)
            self._seen.answered(arrived)
            self._send(connection, answer)

    def _send(self, connection: Connection, more: bytes) -> None:
        """Send as much as the client takes; the rest waits for it."""
        if connection.socket.fileno() < 0:
            return  # it left while its answer was held
        data = connection.unsent + more
        if not data:
            return
        try:
            sent = connection.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        if connection.unsent or sent < len(data):
            connection.unsent = data[sent:]
            wanted = select.EPOLLIN | select.EPOLLOUT if connection.unsent else select.EPOLLIN
            self._epoll.modify(connection.socket, wanted)

    def _close(self, connection: Connection) -> None:
        self._epoll.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
