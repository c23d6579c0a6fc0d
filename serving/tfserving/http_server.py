"""A small HTTP/1.1 server: keep-alive, a thread per connection, as many connections as it promises.

Every request that was read completely is answered, `stop` included.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable

from serving.tfserving.http11 import Request, Response, encode, read_request, refusal
from serving.tfserving.http_lines import Refused

MAX_CONNECTIONS = 1024
IDLE_SECONDS = 600.0
LINGER_SECONDS = 1.0
LINGER_READS = 64

Handler = Callable[[Request], Response]


class HttpServer:
    """`start` listens, `stop` ends what is in flight within a grace period."""

    def __init__(self, host: str, port: int, handler: Handler) -> None:
        self._address = (host, port)
        self._handler = handler
        self._listener: _Listener | None = None

    def start(self) -> None:
        """Bind and accept; OSError when the port cannot be had."""
        self._listener = _Listener(self._address, self._handler)
        threading.Thread(
            target=self._listener.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="rest-accept",
            daemon=True,
        ).start()

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, finish requests that have arrived, close idle connections; bounded by the grace."""
        if self._listener is not None:
            self._listener.closing = True
            self._listener.shutdown()
            self._listener.server_close()
            self._listener.drain(grace_seconds)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.handler = handler
        self.closing = False
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Connection)

    def verify_request(self, request: object, client_address: object) -> bool:
        return len(self._open) < MAX_CONNECTIONS

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is its own affair."""

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.add(connection)
            if self.closing:  # accepted just before the listener closed: read what has come, then end
                _stop_reading(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def drain(self, grace_seconds: float) -> None:
        with self._changed:
            for connection in self._open:
                _stop_reading(connection)
            self._changed.wait_for(lambda: not self._open, grace_seconds)


class _Connection(socketserver.StreamRequestHandler):
    server: _Listener
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    timeout = IDLE_SECONDS

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def handle(self) -> None:
        keep = True
        while keep:
            try:
                read = read_request(self.rfile, self.wfile.write)
            except Refused as refused:
                self.connection.sendall(encode(refusal(refused), keep=False))
                self._linger()
                return
            if read is None:
                return
            request, wants_more = read
            response = self.server.handler(request)
            keep = wants_more and not self.server.closing
            self.connection.sendall(encode(response, keep, with_body=request.method != "HEAD"))

    def _linger(self) -> None:
        """Swallow some of what is still coming: closing on unread bytes would take back the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGER_SECONDS)
        for _ in range(LINGER_READS):
            if not self.rfile.read1(self.rbufsize):
                return


def _stop_reading(connection: socket.socket) -> None:
    """Wake a reader with the end of the stream; what has arrived can still be read and answered."""
    with contextlib.suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RD)
