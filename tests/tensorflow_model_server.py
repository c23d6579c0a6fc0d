#!/usr/bin/env python3
"""What stands in for TF Serving's program where its image cannot be had: it answers slowly, and knows no signal.

Python leaves SIGTERM to the kernel, as the original does: process 1 never gets it, any other process dies of it.
GET /slow is answered after SLOW_S seconds, everything else at once with how many of those are under way. With --fail it
ends at once, with FAILED.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

SLOW_S = 2.0
FAILED = 3


class Answer(BaseHTTPRequestHandler):
    under_way: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.under_way.append(self.path)
            time.sleep(SLOW_S)
            self.under_way.remove(self.path)
        body = str(len(self.under_way)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    if "--fail" in sys.argv:
        sys.exit(FAILED)
    ThreadingHTTPServer(("", 8501), Answer).serve_forever()
