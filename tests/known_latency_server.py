"""A server with a known answer after a known delay, shaped like Triton over HTTP. A program of its own, on loopback.

    python -m tests.known_latency_server --answers FOLDER --delay-ms 5 --port 0

``FOLDER`` holds ``<sha256 of a request's tensors>.bin``, the answer's body, and ``….length``, the size of its JSON
header. It measures itself: ``GET /seen`` tells for every answered request when it had arrived and when it was answered
(CLOCK_MONOTONIC, nanoseconds), and how many were in flight at most. ``GET /stall/<ms>/<in ms>`` holds all answers back
once for that long, beginning so many milliseconds from now; no request is lost by it. From ``GET /refuse/1`` to
``GET /refuse/0`` every answer is a 503, and noted like the others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import socketserver
import threading
import time
from pathlib import Path


class Known:
    """What the server knows and what it has seen."""

    def __init__(self, answers: Path, delay_s: float) -> None:
        self.delay_s = delay_s
        self.answers = {
            path.stem: (path.with_suffix(".length").read_text(), path.read_bytes()) for path in answers.glob("*.bin")
        }
        self.lock = threading.Lock()
        self.times: list[tuple[int, int]] = []
        self.in_flight = self.most_in_flight = 0
        self.stall = (0, 0)
        self.refuses = False

    def answer(self, tensors: bytes) -> bytes:
        """Answer one request after the delay, or after the stall that is going on then."""
        arrived = time.monotonic_ns()
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(self.delay_s)
        begin, end = self.stall
        now = time.monotonic_ns()
        if begin <= now < end:
            time.sleep((end - now) / 1e9)
        length, data = self.answers[hashlib.sha256(tensors).hexdigest()]
        with self.lock:
            self.in_flight -= 1
            self.times.append((arrived, time.monotonic_ns()))
        if self.refuses:
            return response(503, b'{"error": "too much"}')
        return response(200, data, f"Inference-Header-Content-Length: {length}\r\n")

    def told(self, path: str) -> bytes:
        """Answer a GET."""
        words = path.strip("/").split("/")
        if words[0] == "stall":
            begin = time.monotonic_ns() + int(words[2]) * 1_000_000
            self.stall = (begin, begin + int(words[1]) * 1_000_000)
            return response(200, json.dumps(self.stall).encode())
        if words[0] == "refuse":
            self.refuses = words[1] == "1"
            return response(200, json.dumps(self.refuses).encode())
        if words[0] == "seen":
            with self.lock:
                seen = {"times": self.times, "most_in_flight": self.most_in_flight, "stall": self.stall}
                self.times, self.most_in_flight = [], self.in_flight
            return response(200, json.dumps(seen).encode())
        return response(404, b'{"error": "no such thing here"}')


def response(status: int, body: bytes, more: str = "") -> bytes:
    """An HTTP/1.1 answer, to be sent in one piece."""
    return f"HTTP/1.1 {status} Known\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


class Handler(socketserver.StreamRequestHandler):
    """One connection, kept alive."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        while line := self.rfile.readline():
            method, path, _ = line.decode().split(" ")
            length = header_length = 0
            while header := self.rfile.readline().strip():
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                if name.lower() == b"inference-header-content-length":
                    header_length = int(value)
            body = self.rfile.read(length)
            known = self.server.known
            answer = known.answer(body[header_length:]) if method == "POST" else known.told(path)
            try:
                self.connection.sendall(answer)
            except OSError:
                return  # the client is gone


class Server(socketserver.ThreadingTCPServer):
    """One thread per connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN
    known: Known


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--delay-ms", type=float, default=5.0)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Server(("127.0.0.1", options.port), Handler) as server:
        server.known = Known(options.answers, options.delay_ms / 1000)
        print(server.server_address[1], flush=True)
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
