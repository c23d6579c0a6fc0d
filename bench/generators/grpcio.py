"""grpcio's own client under gevent with bytes that are ready: python -m bench.generators.grpcio QUESTION SECONDS

One channel, as perf_analyzer's synchronous mode and Locust's own gRPC example have it. The last line is requests per
second and per second of CPU, as one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import gevent
import grpc
import grpc.experimental.gevent

from bench.generators.question import read


def main(arguments: Sequence[str]) -> None:
    path, seconds = arguments
    question = read(Path(path))
    call = question.calls["grpc"]
    grpc.experimental.gevent.init_gevent()
    channel = grpc.insecure_channel(call.address)
    ask = channel.unary_unary(call.target, request_serializer=None, response_deserializer=None)
    body, answered = call.data, 0

    def user(end: float) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            ask(body, timeout=30)
            answered += 1

    for length in (float(seconds) / 5, float(seconds)):  # the first is the warm-up
        answered = 0
        began, cpu = time.perf_counter(), time.process_time()
        users = [gevent.spawn(user, began + length) for _ in range(question.users)]
        gevent.joinall(users, raise_error=True)
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    channel.close()
    print(json.dumps({"rps": answered / elapsed, "rps_per_core": answered / cpu}))


if __name__ == "__main__":
    main(sys.argv[1:])
