"""python -m loadtest.watching.usage_page: tell over HTTP what a server in the same pod uses.

A load test in another pod cannot read the server's processes, and no server tells its own: Triton's nv_cpu_* are those
of the whole node. So k8s/components/usage puts this beside the server, where a shared process namespace shows them. The
answer is a row of contract/samples.py as JSON, read when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psutil

from contract.cli import Parser, run
from loadtest.watching.process_tree import ProcessTree, parents

SLOW_S = 2.0  # a client that does not say what it wants keeps others waiting for so long


class Watched:
    """A server by the names that its first process may have, or by its pid; it is found again after a restart."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = frozenset(wanted)
        self._tree: ProcessTree | None = None

    def row(self) -> dict[str, Any]:
        """What it and its children use now, or why that is not known."""
        if self._tree is None or not self._tree.runs():
            self._tree = self._find()
        if self._tree is None:
            return {"absent": f"no process is called {' or '.join(sorted(self._wanted))}"}
        return dict(self._tree.read(parents()))

    def _find(self) -> ProcessTree | None:
        """The oldest of them: a child has its parent's name until it becomes another program."""
        found = [process for process in psutil.process_iter(["name", "status", "create_time"]) if self._is(process)]
        oldest = min(found, key=lambda process: process.info["create_time"], default=None)
        return None if oldest is None else ProcessTree(oldest)

    def _is(self, process: psutil.Process) -> bool:
        named = process.info["name"] in self._wanted or str(process.pid) in self._wanted
        return bool(named and process.info["status"] != psutil.STATUS_ZOMBIE)


class UsagePage(HTTPServer):
    """Answers every GET with the row of what it watches, one after the other."""

    def __init__(self, address: tuple[str, int], watched: Watched) -> None:
        super().__init__(address, Answer)
        self.watched = watched


class Answer(BaseHTTPRequestHandler):
    """One answer; the connection ends with it."""

    server: UsagePage
    timeout = SLOW_S

    def do_GET(self) -> None:
        body = json.dumps(self.server.watched.row()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Two lines a second would be all that its log tells."""


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m loadtest.watching.usage_page", description="Tell what a server in the same pod uses."
    )
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("process", nargs="+", help="name of the server's process, or its pid; several: whichever runs")
    options = parser.parse_args(arguments)
    with UsagePage((options.bind, options.port), Watched(options.process)) as page:
        page.serve_forever()
    return 0


if __name__ == "__main__":
    run(main)
