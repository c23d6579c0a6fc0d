"""One HTTP/2 connection that carries unary calls (RFC 9113): its streams, and what the server may ask of us.

Nothing here waits: what cannot be sent yet goes out from the hub when the server allows it. A call's greenlet sleeps in
its stream's Waiter until the stream has ended.
"""

from __future__ import annotations

import time
from typing import Any

import gevent

from loadtest.clients import http2_frames as h2
from loadtest.clients.grpc_outcome import BY_RESET, failed, outcome
from loadtest.clients.http2_sending import Sending, Stream
from loadtest.clients.reply import CLOSED, CLOSED_EARLY, MALFORMED, TIMEOUT, Reply, failure
from loadtest.clients.wire import Wire

ALARM_S = 0.05  # how exactly a timeout is kept
OURS = {h2.HEADER_TABLE_SIZE: 0, h2.ENABLE_PUSH: 0, h2.INITIAL_WINDOW_SIZE: h2.LARGEST_WINDOW}
HELLO = h2.PREFACE + h2.settings(OURS) + h2.window_update(0, h2.LARGEST_WINDOW - h2.DEFAULT_WINDOW)
REPLENISHED_AT = 1 << 29  # bytes received, of the connection's window
UNTOUCHED = failed("UNAVAILABLE")  # this very object: the server says that it has done nothing with the call


class Http2:
    """The client's side. ``usable`` turns false when no further call may begin on it.

    ``left`` says that the server left it, and failed no call by that.
    """

    def __init__(self, opened: Any) -> None:
        self.usable = True
        self.left = False
        self._sending = Sending()
        self._streams = self._sending.streams
        self._frames = h2.Frames()
        self._received = 0  # bytes of the connection's window that were not given back yet
        self._open_block: tuple[int, int, bytes] | None = None  # flags, stream, headers that are to be continued
        self._wire = Wire(opened, self)
        self._wire.write(HELLO)
        self._alarm = gevent.get_hub().loop.timer(ALARM_S, ALARM_S, ref=False)
        self._alarm.start(self._look)

    def call(self, block: bytes, message: bytes, deadline_ns: int) -> Reply:
        """Send one call's headers and message, wait for what it comes to."""
        stream = Stream(block, message, deadline_ns)
        self._wire.write(self._sending.begin(stream))
        self.usable = self.usable and not self._sending.used_up
        try:
            return stream.waiter.get()  # type: ignore[no-any-return]
        except BaseException:  # whoever waited was told to stop
            self._cancel(stream)
            raise

    def close(self) -> None:
        """Leave; who waits is told."""
        self.usable = False
        self._wire.close()
        gevent.get_hub().loop.run_callback(self._end, failure(CLOSED))

    def _cancel(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None):
            self._wire.write(h2.reset(stream.number, h2.CANCEL) + self._sending.queued_begun())
        elif stream in self._sending.queued:
            self._sending.queued.remove(stream)

    # In the hub.

    def received(self, data: bytes, now_ns: int) -> None:
        self._wire.cork()  # the answers of one read bring about the next calls: one send, and the server wakes up once
        try:
            for kind, flags, number, payload in self._frames.cut(data, h2.SMALLEST_FRAME):
                if self._open_block and kind != h2.CONTINUATION:
                    raise h2.ProtocolError("other frames between those of one block of headers")
                take = TAKEN.get(kind)
                if take is not None:
                    take(self, flags, number, payload, now_ns)
        except h2.ProtocolError:
            self._end(failure(MALFORMED))
        finally:
            self._wire.uncork()

    def ended(self, error: str) -> None:
        self.left = self.left or not (self._streams or self._sending.queued)
        self._end(failure(error or CLOSED_EARLY))

    def _on_headers(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        self._take_block(flags, number, h2.unpadded(flags, payload), now_ns)

    def _on_continuation(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        if self._open_block is None or self._open_block[1] != number:
            raise h2.ProtocolError("headers are continued that were not begun")
        first, _, block = self._open_block
        self._take_block(first | flags, number, block + payload, now_ns)

    def _take_block(self, flags: int, number: int, block: bytes, now_ns: int) -> None:
        if len(block) > h2.LARGEST_HEADERS:
            raise h2.ProtocolError(f"more than {h2.LARGEST_HEADERS} bytes of headers")
        if not flags & h2.END_HEADERS:
            self._open_block = flags, number, block
            return
        self._open_block = None
        headers = h2.decode_headers(block)
        stream = self._streams.get(number)
        if stream is not None and not headers.get(":status", "").startswith("1"):
            stream.first_ns = stream.first_ns or now_ns
            stream.headers = {**stream.headers, **headers} if stream.headers else headers
            self._ended_by(flags, stream, now_ns)

    def _on_data(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        self._received += len(payload)
        if self._received >= REPLENISHED_AT:
            self._wire.write(h2.window_update(0, self._received))
            self._received = 0
        stream = self._streams.get(number)
        if stream is not None:
            stream.data.append(h2.unpadded(flags & h2.PADDED, payload))
            self._ended_by(flags, stream, now_ns)

    def _on_reset(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        code = h2.number(payload)
        stream = self._streams.get(number)
        if stream is not None:
            failure_of_it = failed(BY_RESET.get(code, "INTERNAL"), stream.first_ns)
            self._finish(stream, UNTOUCHED if code == h2.REFUSED_STREAM else failure_of_it)

    def _on_settings(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        if not flags & h2.ACK:
            released = self._sending.apply(h2.read_settings(payload))
            self._wire.write(h2.frame(h2.SETTINGS, h2.ACK, 0) + released)

    def _on_ping(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        if not flags & h2.ACK:
            self._wire.write(h2.frame(h2.PING, h2.ACK, 0, payload))

    def _on_window_update(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        self._wire.write(self._sending.widen(number, h2.number(payload)))

    def _on_push(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        raise h2.ProtocolError("a push, which was forbidden")

    def _on_goaway(self, flags: int, number: int, payload: bytes, now_ns: int) -> None:
        """The server finishes what it has begun; the rest it has not touched."""
        last = h2.number(payload)
        self.usable, self.left = False, True
        untouched = [stream for stream in self._streams.values() if stream.number > last] + [*self._sending.queued]
        self._sending.queued.clear()
        for stream in untouched:
            self._streams.pop(stream.number, None)
        if not self._streams:
            self._end(UNTOUCHED)
        for stream in untouched:
            stream.waiter.switch(UNTOUCHED)

    def _look(self) -> None:
        now = time.monotonic_ns()
        for stream in [*self._streams.values(), *self._sending.queued]:
            if now >= stream.deadline_ns:
                self._cancel(stream)
                stream.waiter.switch(failure(TIMEOUT, stream.first_ns))

    def _ended_by(self, flags: int, stream: Stream, now_ns: int) -> None:
        if flags & h2.END_STREAM:
            self._finish(stream, outcome(stream.headers, b"".join(stream.data), stream.first_ns, now_ns))

    def _finish(self, stream: Stream, reply: Reply) -> None:
        del self._streams[stream.number]
        if self._sending.queued:
            self._wire.write(self._sending.queued_begun())
        if not self.usable and not self._streams:
            self._end(UNTOUCHED)
        stream.waiter.switch(reply)

    def _end(self, reply: Reply) -> None:
        """The connection is over, and with it every call."""
        self.usable = False
        self._wire.close()
        self._alarm.close()
        over = [*self._streams.values(), *self._sending.queued]
        self._streams.clear()
        self._sending.queued.clear()
        for stream in over:
            stream.waiter.switch(reply._replace(first_byte_ns=stream.first_ns) if stream.first_ns else reply)


TAKEN = {
    h2.DATA: Http2._on_data,
    h2.HEADERS: Http2._on_headers,
    h2.RST_STREAM: Http2._on_reset,
    h2.SETTINGS: Http2._on_settings,
    h2.PUSH_PROMISE: Http2._on_push,
    h2.PING: Http2._on_ping,
    h2.GOAWAY: Http2._on_goaway,
    h2.WINDOW_UPDATE: Http2._on_window_update,
    h2.CONTINUATION: Http2._on_continuation,
}
