"""What may be sent over an HTTP/2 connection, and when (RFC 9113, 5.1.2, 5.2). Pure: bytes come out, nobody waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from gevent.hub import Waiter

from loadtest.clients import http2_frames as h2


class Stream:
    """One call: what is still to be sent of it, what has come of its answer, and who waits."""

    __slots__ = ("block", "data", "deadline_ns", "first_ns", "headers", "number", "unsent", "waiter", "window")

    def __init__(self, block: bytes, message: bytes, deadline_ns: int) -> None:
        self.block, self.unsent, self.deadline_ns = block, message, deadline_ns
        self.waiter: Any = Waiter()
        self.number = self.window = self.first_ns = 0
        self.headers: dict[str, str] = {}
        self.data: list[bytes] = []


class Sending:
    """The streams in flight, those that the server does not allow yet, and the windows of both."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.queued: deque[Stream] = deque()
        self._next = 1
        self._most = h2.LARGEST_STREAM  # streams at a time
        self._window = self._initial = h2.DEFAULT_WINDOW
        self._largest = h2.SMALLEST_FRAME

    @property
    def used_up(self) -> bool:
        """Whether the connection has no number left for another stream."""
        return self._next > h2.LARGEST_STREAM

    def begin(self, stream: Stream) -> bytes:
        """The first bytes of a call; none where it has to queue."""
        if len(self.streams) >= self._most:
            self.queued.append(stream)
            return b""
        stream.number, self._next = self._next, self._next + 2
        stream.window = self._initial
        self.streams[stream.number] = stream
        return h2.frame(h2.HEADERS, h2.END_HEADERS, stream.number, stream.block) + self._data(stream)

    def queued_begun(self) -> bytes:
        """The first bytes of the calls whose turn has come."""
        begun = b""
        while self.queued and len(self.streams) < self._most and not self.used_up:
            begun += self.begin(self.queued.popleft())
        return begun

    def apply(self, told: Mapping[int, int]) -> bytes:
        """The server's settings; what may be sent now. Raises ProtocolError."""
        initial = told.get(h2.INITIAL_WINDOW_SIZE, self._initial)
        largest = told.get(h2.MAX_FRAME_SIZE, self._largest)
        if initial > h2.LARGEST_WINDOW or not h2.SMALLEST_FRAME <= largest <= h2.LARGEST_FRAME:
            raise h2.ProtocolError("a setting is out of its range")
        for stream in self.streams.values():
            stream.window += initial - self._initial
        self._initial, self._largest = initial, largest
        self._most = told.get(h2.MAX_CONCURRENT_STREAMS, self._most)
        return self._resumed() + self.queued_begun()

    def widen(self, number: int, more: int) -> bytes:
        """The server takes more bytes, of one stream or (0) of all; what may be sent now."""
        if number == 0:
            self._window += more
        elif number in self.streams:
            self.streams[number].window += more
        return self._resumed()

    def _resumed(self) -> bytes:
        return b"".join([self._data(stream) for stream in self.streams.values() if stream.unsent])

    def _data(self, stream: Stream) -> bytes:
        """As much of the message as the windows allow, as DATA frames."""
        left, frames = len(stream.unsent), []
        while left and (size := min(left, self._window, stream.window, self._largest)) > 0:
            left -= size
            frames.append(h2.frame(h2.DATA, 0 if left else h2.END_STREAM, stream.number, stream.unsent[:size]))
            stream.unsent = stream.unsent[size:]
            self._window -= size
            stream.window -= size
        return b"".join(frames)
