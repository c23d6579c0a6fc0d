"""grpcio's own client under gevent with bytes that are ready: python -m bench.generators.grpcio QUESTION SECONDS

One channel, as perf_analyzer's synchronous mode and Locust's own gRPC example have it. The last line is requests per
second and per second of CPU, as one JSON document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.experimental.gevent

from bench.generators.closed import closed
from bench.generators.question import read


def main(arguments: Sequence[str]) -> None:
    path, seconds = arguments
    question = read(Path(path))
    call = question.calls["grpc"]
    grpc.experimental.gevent.init_gevent()
    channel = grpc.insecure_channel(call.address)
    ask = channel.unary_unary(call.target, request_serializer=None, response_deserializer=None)
    body = call.data

    def user() -> None:
        ask(body, timeout=30)

    found = closed([user] * question.users, float(seconds))
    channel.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
