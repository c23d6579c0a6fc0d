"""What every client offers: prepare a request once, send it many times, and never raise for what a server does."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

import gevent

from contract.client import Client
from loadtest.clients.ceiling import Ceiling
from loadtest.clients.reply import CLOSED_EARLY, REFUSED, RESET, Reply

# Nothing was done, or the server said that it would not: only these may be sent again. A timeout has used up its time.
RETRIED = frozenset({REFUSED, RESET, CLOSED_EARLY, "http 429", "http 502", "http 503", "grpc UNAVAILABLE"})
FIRST_PAUSE_S = 0.01  # before the first retry; twice that before the next, and so on


class Connection(ABC):
    """A client of one protocol with connections of its own, as many greenlets as wish may use it."""

    def __init__(self, client: Client) -> None:
        self._retries = client.retries
        self._timeout_ns = int(client.timeout_s * 1e9)
        self._ceiling: Ceiling | None = None

    def keep_below(self, ceiling: Ceiling) -> None:
        """Send nothing again for which ``ceiling`` has no room; connections may share one."""
        self._ceiling = ceiling

    @abstractmethod
    def prepare(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Everything of a request that does not change from one time to the next."""

    @abstractmethod
    def close(self) -> None:
        """Give up what is in flight and leave."""

    @abstractmethod
    def _ask(self, prepared: bytes, deadline_ns: int) -> Reply:
        """Send it once and wait for the answer until ``deadline_ns`` (CLOCK_MONOTONIC)."""

    def send(self, prepared: bytes) -> Reply:
        """Send what ``prepare`` made and wait for the answer; at most ``timeout_s``, retries included."""
        deadline = time.monotonic_ns() + self._timeout_ns
        if self._ceiling is None:
            reply = self._ask(prepared, deadline)
        else:
            self._ceiling.sent(time.monotonic_ns())
            reply = self._asked(prepared, deadline)
        if reply.error and self._retries:
            return self._again(prepared, deadline, reply)
        return reply

    def __call__(self, body: bytes, headers: dict[str, str]) -> Reply:
        """Prepare and send: for a request that is sent once."""
        return self.send(self.prepare(body, headers))

    def _asked(self, prepared: bytes, deadline_ns: int) -> Reply:
        """`_ask`, and note what went out unseen."""
        reply = self._ask(prepared, deadline_ns)
        if self._ceiling is not None and reply.reopened:  # it may have gone out over the closed connection, too
            self._ceiling.sent(time.monotonic_ns(), reply.reopened)
        return reply

    def _may_repeat(self, when_ns: int, deadline_ns: int) -> bool:
        """Whether a request may be sent again then; if so its room under the ceiling is taken."""
        return when_ns < deadline_ns and (self._ceiling is None or self._ceiling.take(when_ns))

    def _again(self, prepared: bytes, deadline_ns: int, reply: Reply) -> Reply:
        pause_s, reopened = FIRST_PAUSE_S, reply.reopened
        for retries in range(1, self._retries + 1):
            again_ns = time.monotonic_ns() + int(pause_s * 1e9)
            if reply.error not in RETRIED or not self._may_repeat(again_ns, deadline_ns):
                break
            gevent.sleep(pause_s)
            pause_s *= 2
            reply = self._asked(prepared, deadline_ns)
            reopened += reply.reopened
            reply = reply._replace(retries=retries, reopened=reopened)
        return reply
