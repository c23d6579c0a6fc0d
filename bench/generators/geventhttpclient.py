"""geventhttpclient with a body that is ready, as FastHttpUser drives it but without Locust around it.

python -m bench.generators.geventhttpclient QUESTION SECONDS. The last line is requests per second and per second of
CPU, as one JSON document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from geventhttpclient import HTTPClient

from bench.generators.closed import closed
from bench.generators.question import Call, read


def user(call: Call) -> Callable[[], None]:
    """One connection that is kept. What it returns raises RuntimeError for an answer that is none."""
    host, _, port = call.address.rpartition(":")
    client, body = HTTPClient(host, int(port), concurrency=1), call.data

    def ask() -> None:
        answer = client.post(call.target, body, call.headers)
        said = answer.read()
        if answer.status_code != 200:
            raise RuntimeError(f"{call.address}: {answer.status_code} {said[:200]!r}")

    return ask


def main(arguments: Sequence[str]) -> None:
    path, seconds = arguments
    question = read(Path(path))
    users = [user(question.calls["http"]) for _ in range(question.users)]
    print(json.dumps(closed(users, float(seconds))))


if __name__ == "__main__":
    main(sys.argv[1:])
