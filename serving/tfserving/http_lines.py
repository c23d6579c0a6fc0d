"""The lines of an HTTP/1.1 message: none longer than ``MAX_LINE`` bytes, headers no more than ``MAX_HEADERS``."""

from __future__ import annotations

from io import BufferedIOBase

MAX_LINE = 64 << 10
MAX_HEADERS = 100
_FRAMING = (b"content-length", b"transfer-encoding")  # say where a request ends, so nobody may read them otherwise


class Refused(Exception):
    """A request that is not read to its end: its status and a sentence. The connection closes after the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def read_line(stream: BufferedIOBase) -> bytes:
    """The next line with its end; without one where the client went away. Raises Refused."""
    try:
        line = stream.readline(MAX_LINE + 1)
    except OSError:  # reset, or idle for too long
        return b""
    if len(line) > MAX_LINE:
        raise Refused(431, f"A line of the request is longer than {MAX_LINE} bytes")
    return line


def read_headers(stream: BufferedIOBase) -> dict[bytes, bytes] | None:
    """Headers, or the trailers after a body, by their names in small letters; None where the client went away.

    Raises Refused.
    """
    headers: dict[bytes, bytes] = {}
    for _ in range(MAX_HEADERS):
        line = read_line(stream)
        if line in (b"\r\n", b"\n"):
            return headers
        if not line.endswith(b"\n"):
            return None
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if not colon or name != name.strip():
            raise Refused(400, "Bad header line")
        if name in _FRAMING and headers.get(name, value) != value:
            raise Refused(400, f"Two different {name.decode().title()} headers")
        headers[name] = value
    raise Refused(431, f"More than {MAX_HEADERS} headers")
