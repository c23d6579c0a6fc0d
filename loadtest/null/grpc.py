"""python -m loadtest.null.grpc: the same answer to every gRPC call, at once or after a delay. Loopback only.

As much of HTTP/2 (RFC 9113) as a unary call needs. Nothing of a request is looked at but where it ends, so headers are
not decoded; the answer's are literals without a table (RFC 7541). A server on grpcio was measured to cost 210 us of
processor time for a call, as much as a client on grpcio does, which made it the limit of what it was to measure.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from contract.cli import run
from loadtest.null.delay import NullOptions
from loadtest.null.loop import serve

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
LARGEST_WINDOW, DEFAULT_WINDOW = 2**31 - 1, 65_535
DEFAULT_FRAME = 16_384
RENEWED = 1 << 20  # received bytes after which the client's window is opened as far again
HEADERS_BLOCK = b"\x88\x0f\x10\x10application/grpc"  # :status 200 (8), content-type (31)
TRAILERS_BLOCK = b"\x00\x0bgrpc-status\x010"


def main(arguments: Sequence[str]) -> int:
    serve("loadtest.null.grpc", "A gRPC server that does nothing, to certify a client.", arguments, Grpc)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame: 24 bits of length, type, flags, stream, payload."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


class Grpc:
    """A connection of HTTP/2 whose streams are unary calls, all with the same answer."""

    def __init__(self, options: NullOptions) -> None:
        self._message = b"\0" + struct.pack(">I", len(options.body)) + options.body
        self._begun = b""
        self._greeted = False
        self._taken = 0
        self._window = DEFAULT_WINDOW  # what the client takes over all streams
        self._first_window = DEFAULT_WINDOW  # and on each new one
        self._windows: dict[int, int] = {}  # stream that is open -> what the client takes on it
        self._waiting: dict[int, int] = {}  # stream that is answered -> bytes of the message that have been sent

    def opening(self) -> bytes:
        settings = struct.pack(">HIHI", INITIAL_WINDOW_SIZE, LARGEST_WINDOW, MAX_FRAME_SIZE, 2**24 - 1)
        widened = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        return frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, widened)

    def received(self, data: bytes) -> tuple[list[int], bytes]:
        data = self._begun + data
        at = 0
        if not self._greeted:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise ValueError("not HTTP/2")
            self._greeted = len(data) >= len(PREFACE)
            at = len(PREFACE) if self._greeted else 0
        requests: list[int] = []
        replies: list[bytes] = []
        while self._greeted and at + 9 <= len(data):
            head, flags, stream = struct.unpack_from(">IBI", data, at)
            end = at + 9 + (head >> 8)
            if end > len(data):
                break
            kind = head & 0xFF
            if kind == HEADERS:
                self._windows[stream] = self._first_window
            if kind in (DATA, HEADERS):
                self._taken += head >> 8 if kind == DATA else 0  # only DATA is counted by flow control (6.9.1)
                if flags & END_STREAM:
                    requests.append(stream)
            else:
                replies.append(self._control(kind, flags, stream, data[at + 9 : end]))
            at = end
        self._begun = data[at:]
        if self._taken > RENEWED:
            replies.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken)))
            self._taken = 0
        return requests, b"".join(replies)

    def answer(self, request: int) -> bytes:
        if request not in self._windows:
            return b""  # the client has cancelled it
        self._waiting[request] = 0
        return frame(HEADERS, END_HEADERS, request, HEADERS_BLOCK) + self._continued(request)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        """What a frame that belongs to no request changes, and the reply to it."""
        if kind == WINDOW_UPDATE:
            (more,) = struct.unpack(">I", payload)
            if stream == 0:
                self._window += more
            elif stream in self._windows:
                self._windows[stream] += more
            return self._all_continued()
        if kind == RST_STREAM:
            self._windows.pop(stream, None)
            self._waiting.pop(stream, None)
        elif kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._windows = {key: size + value - self._first_window for key, size in self._windows.items()}
                    self._first_window = value
            return frame(SETTINGS, ACK, 0, b"") + self._all_continued()
        return b""

    def _all_continued(self) -> bytes:
        return b"".join(self._continued(stream) for stream in list(self._waiting))

    def _continued(self, stream: int) -> bytes:
        """As much more of a message as the windows allow, and the trailers after its end."""
        frames: list[bytes] = []
        sent, whole = self._waiting[stream], len(self._message)
        while sent < whole and (room := min(self._window, self._windows[stream], DEFAULT_FRAME, whole - sent)) > 0:
            frames.append(frame(DATA, 0, stream, self._message[sent : sent + room]))
            sent += room
            self._window -= room
            self._windows[stream] -= room
        self._waiting[stream] = sent
        if sent == whole:
            frames.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS_BLOCK))
            del self._waiting[stream], self._windows[stream]
        return b"".join(frames)


if __name__ == "__main__":
    run(main)
