"""python -m loadtest.null.http: the same answer to every HTTP/1.1 request, at once or after a delay. Loopback only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract.cli import run
from loadtest.null.delay import NullOptions
from loadtest.null.loop import serve

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"
OURS = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})  # said by the server itself


def main(arguments: Sequence[str]) -> int:
    serve("loadtest.null.http", "An HTTP server that does nothing, to certify a client.", arguments, Http)


class Http:
    """HTTP/1.1 with keep-alive; whatever the path, requests may be pipelined."""

    def __init__(self, options: NullOptions) -> None:
        self._answer = prepared(options.headers, options.body)
        self._begun = b""

    def opening(self) -> bytes:
        return b""

    def received(self, data: bytes) -> tuple[list[int], bytes]:
        data = self._begun + data
        count, end = ends_of_requests(data)
        self._begun = data[end:]
        return [0] * count, b""

    def answer(self, request: int) -> bytes:
        return self._answer


def prepared(headers: dict[str, str], body: bytes) -> bytes:
    """The whole answer: the headers of the real one with its length, and its body."""
    kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() not in OURS)
    return f"HTTP/1.1 200 OK\r\n{kept}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def ends_of_requests(data: bytes) -> tuple[int, int]:
    """How many whole requests ``data`` begins with, and where the last of them ends."""
    count = end = 0
    while (head := data.find(HEAD_END, end)) >= 0:
        stated = CONTENT_LENGTH.search(data, end, head)
        after = head + len(HEAD_END) + (int(stated[1]) if stated else 0)
        if after > len(data):
            break
        count, end = count + 1, after
    return count, end


if __name__ == "__main__":
    run(main)
