"""What the machine adds to a known delay, whoever measures it: the figures of a socket that does nothing else.

    python -m tests.bare_socket 127.0.0.1:8000 1000

asks an HTTP null server so many times over one connection, at random moments, and prints how long each answer took in
nanoseconds, from just before the request is sent until the answer has been read. There is no schedule to keep, no event
loop, no second request in flight: what is more than the server's own figure here is the machine's, which has to
wake the two processes up.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from contract.files import write_bytes
from contract.records import answer_frame
from contract.statistics import order_statistic
from loadtest.certification.null_server import null_server
from tests.conftest import ROOT

REQUEST = b"POST / HTTP/1.1\r\nHost: null\r\nContent-Length: 300\r\n\r\n" + bytes(300)
REQUESTS = 1000
PAUSE_S = 0.005  # mean; about as long as the load leaves a server alone at 200 requests per second


def bare_socket_adds(folder: Path, delay_ms: float, p: float) -> float:
    """Milliseconds by which this percentile of a bare socket's figures is above that of the null server's own."""
    answer = folder / "answer.bin"
    write_bytes(answer, answer_frame(0, "r0000", {}, bytes(108)))
    with null_server("http", answer, folder / "bare", [], "--delay-ms", f"{delay_ms:g}") as server:
        command = [sys.executable, "-m", "tests.bare_socket", server.address, str(REQUESTS)]
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    seen = server.seen()
    said, own = (np.sort(np.asarray(times)) for times in (json.loads(asked.stdout), seen[:, 1] - seen[:, 0]))
    return (order_statistic(said, p) - order_statistic(own, p)) / 1e6


def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    drawn = random.Random(1)
    took: list[int] = []
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(int(sys.argv[2])):
            time.sleep(drawn.expovariate(1 / PAUSE_S))
            begun = time.monotonic_ns()
            connection.sendall(REQUEST)
            connection.recv(65536)  # the answer is small, and sent in one piece
            took.append(time.monotonic_ns() - begun)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
