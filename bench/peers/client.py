"""The load: python -m bench.peers.client, one JSON document in on stdin, one out on stdout.

Users that each wait for their answer, over connections that stay open; the bytes of a request were made before. Some of
a window's answers are kept as they came: whoever asked compares them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from bench.peers.window import Load, Window
from contract.table import choose

DRIVERS = {"http": "bench.peers.over_http:drive", "grpc": "bench.peers.over_grpc:drive"}


def main(arguments: Sequence[str]) -> None:
    load = Load(**json.load(sys.stdin))
    try:
        window = choose(DRIVERS, load.protocol, "protocol")(load)
    except OSError as error:  # nobody listens there (yet, or any more)
        window = Window(first_error=repr(error))
    print(json.dumps(asdict(window)))


if __name__ == "__main__":
    main(sys.argv[1:])
