"""Bytes of an HTTP/1.1 answer as they come -> one Reply. Pure: no socket, no clock of its own.

A server writes the same head again and again, so parsed heads are remembered: what is left per answer is to find the
blank line and to cut the body off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from loadtest.clients.reply import CLOSED_EARLY, MALFORMED, Reply, failure

HEAD_END = b"\r\n\r\n"
LARGEST_HEAD = 65_536  # bytes; also of the trailer and of a chunk's size line
LARGEST_BODY = 1 << 31  # bytes
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")  # RFC 9112, 7.1: its size and extensions


class MalformedAnswer(ValueError):
    """Bytes that are no HTTP/1.1 answer."""


@dataclass(frozen=True)
class Head:
    """A parsed head. ``length`` is the body's, None where chunks or the connection's end say how long it is."""

    status: int
    error: str
    length: int | None
    chunked: bool
    keeps: bool  # whether the connection can carry another request
    headers: dict[str, str]


@lru_cache(maxsize=256)
def parse_head(data: bytes) -> Head:
    """The head that ``data`` is, blank line included. Raises MalformedAnswer."""
    lines = data.decode("latin-1").split("\r\n")[:-2]
    version, _, rest = lines[0].partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()) or rest[3:4].strip():
        raise MalformedAnswer(f"not the first line of an answer: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    lowered: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise MalformedAnswer(f"not a header: {line[:80]!r}")
        headers[name] = value.strip()
        if lowered.setdefault(name.lower(), headers[name]) != headers[name] and name.lower() == "content-length":
            raise MalformedAnswer("two lengths that differ")
    chunked = lowered.get("transfer-encoding", "").lower() == "chunked"
    length = None if chunked else _length(int(code), lowered.get("content-length"))
    options = lowered.get("connection", "").lower()
    keeps = "keep-alive" in options if version == "HTTP/1.0" else "close" not in options
    status = int(code)
    error = "" if status == 200 else f"http {status}"
    return Head(status, error, length, chunked, keeps and (chunked or length is not None), headers)


def _length(status: int, stated: str | None) -> int | None:
    if status < 200 or status in (204, 304):
        return 0
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdigit()) or int(stated) > LARGEST_BODY:
        raise MalformedAnswer(f"not a length: {stated[:80]!r}")
    return int(stated)


class HttpAnswer:
    """One answer after the other, over one connection."""

    def __init__(self) -> None:
        self._data = bytearray()  # what has come of an answer that is not whole, less its head
        self._at = 0  # where the next chunk begins in it
        self._head: Head | None = None
        self._first_ns = 0
        self.keeps = True  # whether the last answer left the connection open

    @property
    def begun(self) -> bool:
        """Whether a byte of the next answer has come."""
        return self._head is not None or bool(self._data)

    def feed(self, data: bytes, now_ns: int) -> Reply | None:
        """Take what arrived at ``now_ns``. Returns the reply when the answer is whole, or broken."""
        try:
            if not self.begun:
                self._first_ns = now_ns
                # Nearly every answer arrives in one piece.
                end = data.find(HEAD_END) + len(HEAD_END)
                if end >= len(HEAD_END):
                    head = parse_head(data[:end])
                    if head.length == len(data) - end and head.status >= 200:
                        return self._whole(head, data[end:], now_ns)
            self._data += data
            return self._continued(now_ns)
        except MalformedAnswer:
            self.keeps = False
            return failure(MALFORMED, self._first_ns)

    def ended(self, error: str) -> Reply:
        """The connection ended, by itself or by ``error``: a body without a length is whole then, all else cut off."""
        head = self._head
        if not error and head is not None and head.length is None and not head.chunked:
            return self._whole(head, bytes(self._data), 0)
        return failure(error or CLOSED_EARLY, self._first_ns if self.begun else 0)

    def _whole(self, head: Head, body: bytes, done_ns: int) -> Reply:
        self._head = None
        self._data.clear()
        self._at = 0
        self.keeps = head.keeps
        return Reply(head.status, head.error, body, head.headers, self._first_ns, done_ns)

    def _continued(self, now_ns: int) -> Reply | None:
        while self._head is None:
            end = self._data.find(HEAD_END) + len(HEAD_END)
            if end > LARGEST_HEAD or (end < len(HEAD_END) and len(self._data) > LARGEST_HEAD):
                raise MalformedAnswer(f"a head of more than {LARGEST_HEAD} bytes")
            if end < len(HEAD_END):
                return None
            head = parse_head(bytes(self._data[:end]))
            del self._data[:end]
            if head.status >= 200:
                self._head = head
            else:
                self._first_ns = now_ns  # that was only news of the answer
        if self._head.chunked:
            body = self._chunks()
            return None if body is None else self._whole(self._head, body, now_ns)
        if len(self._data) > (LARGEST_BODY if self._head.length is None else self._head.length):
            raise MalformedAnswer("more bytes than the head says")
        if len(self._data) == self._head.length:
            return self._whole(self._head, bytes(self._data), now_ns)
        return None

    def _chunks(self) -> bytes | None:
        """The body when its last chunk has come. Chunks that are whole lose their size lines and stay in front."""
        data = self._data
        while True:
            line = data.find(b"\r\n", self._at)
            size = CHUNK.fullmatch(data, self._at, line) if line >= 0 else None
            if size is None:
                if line >= 0 or len(data) - self._at > LARGEST_HEAD:
                    raise MalformedAnswer(f"not the size of a chunk: {bytes(data[self._at : self._at + 80])!r}")
                return None
            length = int(size[1], 16)
            if length == 0:
                return self._trailed(line)
            end = line + 2 + length
            if len(data) < end + 2:
                return None
            if data[end : end + 2] != b"\r\n":
                raise MalformedAnswer("a chunk is longer than it says")
            del size  # it holds the bytes, which cannot shrink meanwhile
            del data[end : end + 2], data[self._at : line + 2]
            self._at += length

    def _trailed(self, line: int) -> bytes | None:
        """The body, when the trailer behind the last size line has come whole; nobody needs what it says."""
        end = self._data.find(HEAD_END, line) + len(HEAD_END)
        if end < len(HEAD_END):
            if len(self._data) - line > LARGEST_HEAD:
                raise MalformedAnswer(f"a trailer of more than {LARGEST_HEAD} bytes")
            return None
        if end < len(self._data):
            raise MalformedAnswer("bytes behind the last chunk")
        return bytes(self._data[: self._at])
