"""HTTP/1.1 with keep-alive: requests are put together before they are sent, a connection carries one at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import gevent
from gevent.hub import Waiter

from contract.client import Client
from contract.request_headers import with_secrets
from loadtest.clients.connection import Connection
from loadtest.clients.deadline import with_deadline
from loadtest.clients.http_answer import HttpAnswer
from loadtest.clients.pool import pool
from loadtest.clients.remote import Remote, next_turn
from loadtest.clients.reply import CLOSED, CLOSED_EARLY, RESET, TIMEOUT, Reply, error_class, failure
from loadtest.clients.tls import context
from loadtest.clients.wire import Wire

ALARM_S = 0.05  # how exactly a timeout is kept


class HttpClient(Connection):
    """At most ``connections`` sockets, each opened when it is first needed; a request waits for a free one.

    Taking turns needs a socket for each replica, so there may be more of them than ``connections``. Raises UsageError
    for what is wrong with [client], before anything is sent.
    """

    def __init__(self, address: str, target: str, connections: int, client: Client) -> None:
        super().__init__(client)
        self._request_line = f"POST {target} HTTP/1.1\r\n"
        self._headers = {"host": ("Host", address)} | _by_name(with_secrets(client.headers, os.environ))
        remote = Remote.of(address, client, context(client, "http/1.1"))
        if client.spread == "round-robin":
            connections = max(connections, remote.count())
        self._sockets = [HttpSocket(remote, next_turn()) for _ in range(connections)]
        self._free = pool(client.spread, self._sockets)

    def prepare(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The whole request, as it goes over the wire every time."""
        body, headers = with_deadline(body, headers, self._timeout_ns // 1000)
        both = (self._headers | _by_name(headers) | _by_name({"Content-Length": str(len(body))})).values()
        lines = "".join(f"{name}: {value}\r\n" for name, value in both)
        return f"{self._request_line}{lines}\r\n".encode("latin-1") + body

    def close(self) -> None:
        for item in self._sockets:
            item.close()

    def _ask(self, prepared: bytes, deadline_ns: int) -> Reply:
        free = self._free.get()
        try:
            return free.ask(prepared, deadline_ns)  # type: ignore[no-any-return]
        finally:
            self._free.put(free)


class HttpSocket:
    """One connection that is kept, and opened again where the server closed it. One greenlet at a time asks."""

    def __init__(self, remote: Remote, turn: int) -> None:
        self._remote, self._turn = remote, turn
        self._waiter = Waiter()
        self._wire: Wire | None = None
        self._kept = False  # an answer came over the connection, and the server meant to keep it
        self._deadline_ns = 0  # 0 while nobody waits

    def ask(self, request: bytes, deadline_ns: int) -> Reply:
        """Send, wait for the answer. A kept connection that turns out to be closed is replaced, once."""
        kept, self._kept = self._kept, False
        lost = kept and self._wire is None
        reply = self._exchange(request, deadline_ns)
        if kept and not lost and reply.error in (CLOSED_EARLY, RESET) and not reply.first_byte_ns:
            # The server closed while the request was on its way to it, and has done nothing with it.
            lost = True
            reply = self._exchange(request, deadline_ns)
        return reply._replace(reopened=1) if lost else reply

    def close(self) -> None:
        """Leave; who waits is told."""
        if self._wire is not None:
            self._drop()
            gevent.get_hub().loop.run_callback(self._tell, failure(CLOSED))

    def _exchange(self, request: bytes, deadline_ns: int) -> Reply:
        try:
            wire = self._wire or self._open()
        except (OSError, UnicodeError) as error:
            return failure(error_class(error))
        self._deadline_ns = deadline_ns
        self._waiter.clear()
        try:
            wire.write(request)
            return self._waiter.get()  # type: ignore[no-any-return]
        except BaseException:  # whoever waited was told to stop
            self._deadline_ns = 0
            self._drop()
            raise

    def _open(self) -> Wire:
        wire = self._wire = Wire(self._remote.open(self._turn), self)
        self._answer = HttpAnswer()
        # One timer for the connection's life, which looks at the deadline: a request need not set one of its own.
        self._alarm = gevent.get_hub().loop.timer(ALARM_S, ALARM_S, ref=False)
        self._alarm.start(self._look)
        return wire

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
            self._alarm.close()

    # In the hub.

    def received(self, data: bytes, now_ns: int) -> None:
        if not self._deadline_ns:
            self._drop()  # nobody has asked anything
            return
        reply = self._answer.feed(data, now_ns)
        if reply is not None:
            self._kept = self._answer.keeps
            if not self._kept:
                self._drop()
            self._tell(reply)

    def ended(self, error: str) -> None:
        self._drop()
        self._tell(self._answer.ended(error))

    def _look(self) -> None:
        if self._deadline_ns and time.monotonic_ns() >= self._deadline_ns:
            self.ended(TIMEOUT)

    def _tell(self, reply: Reply) -> None:
        if self._deadline_ns:
            self._deadline_ns = 0
            self._waiter.switch(reply)


def _by_name(headers: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name in small letters -> name and value: what comes later replaces what came before, however it is spelt."""
    return {name.lower(): (name, value) for name, value in headers.items()}
