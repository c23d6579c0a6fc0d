"""One open socket. The hub reads it and tells a receiver; who writes is never held up.

A blocking call of gevent's own sockets tries, fails, starts a watcher and a timer, waits, stops both and tries again.
Here the watcher of a connection lives as long as it does, and what arrives is parsed in the hub, so that a request
costs two switches and the kernel one send, one wait and one recv: half of the time (bench/README.md).
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import gevent
from gevent import ssl

from loadtest.clients.reply import error_class

LARGEST_READ = 65_536  # bytes of one recv
READ, WRITE = 1, 2  # libev's events
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Receiver(Protocol):
    """Who is told what a wire brings, in the hub: it must neither wait nor raise."""

    def received(self, data: bytes, now_ns: int) -> None: ...

    def ended(self, error: str) -> None:
        """The wire is closed: by the other side (``error`` is empty) or by a failure."""


class Wire:
    """A connected socket and its watchers."""

    def __init__(self, opened: Any, receiver: Receiver) -> None:
        loop = gevent.get_hub().loop
        self._socket, self._receiver = opened, receiver
        self._recv, self._send = opened.recv, opened.send
        if not isinstance(opened, ssl.SSLSocket):
            self._recv, self._send = opened._sock.recv, opened._sock.send  # less gevent's waiting around each call
        self._tls = isinstance(opened, ssl.SSLSocket)
        self._unsent = bytearray()
        self._corked: list[bytes] | None = None
        self._broken = ""  # how the last write failed
        self._reading = loop.io(opened.fileno(), READ)
        self._writing = loop.io(opened.fileno(), WRITE)
        self._reading.start(self._readable)
        self.open = True

    def write(self, data: bytes) -> None:
        """Send all of it: what the kernel does not take now goes out as soon as it does."""
        if not self.open or not data:
            return
        if self._corked is not None:
            self._corked.append(data)
            return
        if self._unsent:
            self._unsent += data
            return
        sent = self._sent(data)
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._writing.start(self._writable)

    def cork(self) -> None:
        """Keep what is written from now on, for `uncork` to send at once; what a call waits here is latency."""
        self._corked = []

    def uncork(self) -> None:
        """Send what was kept."""
        corked, self._corked = self._corked, None
        if corked:
            self.write(b"".join(corked))

    def close(self) -> None:
        """Leave; the receiver is not told."""
        if self.open:
            self.open = False
            for watcher in (self._reading, self._writing):
                watcher.stop()
                watcher.close()
            self._socket.close()

    def _sent(self, data: bytes | bytearray) -> int:
        try:
            return int(self._send(data))
        except WOULD_BLOCK:
            return 0
        except OSError as error:
            # What the server may have said before it closed is still to be read: the reading side tells of the end.
            self._broken = error_class(error)
            return len(data)

    def _writable(self) -> None:
        del self._unsent[: self._sent(self._unsent)]
        if not self._unsent:
            self._writing.stop()

    def _readable(self) -> None:
        while self.open:
            try:
                data = self._recv(LARGEST_READ)
            except WOULD_BLOCK:
                return
            except OSError as error:
                return self._end(error_class(error))
            if not data:
                return self._end(self._broken)
            self._receiver.received(data, time.monotonic_ns())
            if not self._tls:  # what is left in the kernel wakes the hub again; what TLS has decrypted does not
                return

    def _end(self, error: str) -> None:
        self.close()
        self._receiver.ended(error)
