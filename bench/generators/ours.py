"""Our clients alone: python -m bench.generators.ours QUESTION PROTOCOL [frozen] SECONDS, as a load process drives them.

Under Locust's monkey patching, a greenlet and a connection for each user, two clock readings and one entry per request.
`frozen` hides what is there before the window from the garbage collector. The last line is one JSON document: requests
per second, per second of the process' own CPU, p50 and p99 in ms.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402 (after the patching, as under Locust)
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402

from bench.generators.question import Call, read  # noqa: E402
from loadtest.clients import Connection, connect  # noqa: E402


def drive(protocol: str, call: Call, users: int, seconds: float, connections: Sequence[Connection]) -> dict[str, float]:
    """What so many users see in a closed loop. Raises RuntimeError for an answer that is none."""
    taken: list[int] = []
    end = time.monotonic_ns() + int(seconds * 1e9)

    def user(connection: Connection) -> None:
        prepared = connection.prepare(call.data, call.headers)
        while (sent := time.monotonic_ns()) < end:
            reply = connection.send(prepared)
            taken.append(time.monotonic_ns() - sent)
            if reply.error:
                raise RuntimeError(f"{protocol} {call.address}: {reply.error} {reply.body[:200]!r}")

    began, cpu = time.perf_counter(), time.process_time()
    gevent.joinall([gevent.spawn(user, connections[n % len(connections)]) for n in range(users)], raise_error=True)
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    taken.sort()
    return {
        "rps": len(taken) / elapsed,
        "rps_per_core": len(taken) / cpu,
        "p50_ms": taken[len(taken) // 2] / 1e6,
        "p99_ms": taken[len(taken) * 99 // 100] / 1e6,
    }


def main(arguments: Sequence[str]) -> None:
    path, protocol, *frozen, seconds = arguments
    question = read(Path(path))
    call = question.calls[protocol]
    kind = protocol.partition("-")[0]  # `http-null` is HTTP to the server that does nothing
    users = [connect(kind, call.address, call.target, 1) for _ in range(question.users)]
    drive(protocol, call, question.users, float(seconds) / 5, users)
    if frozen:
        gc.collect()
        gc.freeze()
    print(json.dumps(drive(protocol, call, question.users, float(seconds), users)))


if __name__ == "__main__":
    main(sys.argv[1:])
