"""Frames of HTTP/2 (RFC 9113, section 6) <-> bytes, and header blocks (RFC 7541). Pure.

The server is told to keep no table of the headers that it has sent. So the same headers are the same bytes in every
answer, a block can be understood alone, and those that were understood once are remembered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    1,
    2,
    3,
    4,
    5,
    6,
)
DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = LARGEST_STREAM = 2**31 - 1
SMALLEST_FRAME, LARGEST_FRAME = 16_384, 2**24 - 1
LARGEST_HEADERS = 65_536  # bytes of one list of headers
REFUSED_STREAM, CANCEL = 0x7, 0x8

_HEAD = struct.Struct(">HBBBI")  # length (16 + 8 bits), type, flags, stream
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")


class ProtocolError(ValueError):
    """The other side breaks HTTP/2."""


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def window_update(stream: int, bytes_more: int) -> bytes:
    """A WINDOW_UPDATE frame: so many bytes more may be sent to us."""
    return frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(bytes_more))


def reset(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def number(payload: bytes, at: int = 0) -> int:
    """The 31 bits at an offset: a stream, a window, an error code. Raises ProtocolError where they are missing."""
    if len(payload) < at + 4:
        raise ProtocolError("a frame is too short")
    return int(_NUMBER.unpack_from(payload, at)[0]) & LARGEST_WINDOW


def read_settings(payload: bytes) -> dict[int, int]:
    """Setting -> value. Raises ProtocolError."""
    if len(payload) % _SETTING.size:
        raise ProtocolError("a SETTINGS frame has a wrong length")
    return dict(_SETTING.iter_unpack(payload))


def unpadded(flags: int, payload: bytes) -> bytes:
    """What a DATA or HEADERS frame holds, less padding and priority. Raises ProtocolError."""
    start = end = 0
    if flags & PADDED:
        start, end = 1, payload[0] if payload else 256
    if flags & PRIORITY:
        start += 5
    if start + end > len(payload):
        raise ProtocolError("a frame has more padding than bytes")
    return payload[start : len(payload) - end]


class Frames:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes, largest: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Type, flags, stream and payload of each whole frame. Raises ProtocolError for one over ``largest``."""
        if self._rest:
            data = self._rest + data
        at, have = 0, len(data)
        while have - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            size = (high << 8) + low
            if size > largest:
                raise ProtocolError(f"a frame of {size} bytes, {largest} were allowed")
            end = at + _HEAD.size + size
            if end > have:
                break
            yield kind, flags, stream & LARGEST_STREAM, data[at + _HEAD.size : end]
            at = end
        self._rest = data[at:]


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """A block that changes no table, so that the same bytes serve for every request."""
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*item) for item in headers.items()], huffman=False)


@lru_cache(maxsize=1024)
def decode_headers(block: bytes) -> dict[str, str]:
    """Names (in small letters) and values; read only, it is shared. Raises ProtocolError."""
    decoder = hpack.Decoder(max_header_list_size=LARGEST_HEADERS)
    decoder.header_table_size = decoder.max_allowed_table_size = 0
    try:
        return {str(name): str(value) for name, value in decoder.decode(block)}
    except hpack.HPACKError as error:
        raise ProtocolError(f"headers cannot be read: {error}") from None
