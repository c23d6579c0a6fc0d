"""How long the server in a container has answered nothing: what tells that it hangs, though its container runs on.

Any HTTP answer is a sign of life: a server that refuses, or that is still loading a model, does not hang. Asked as
patiently as the probes of k8s/base are, so that an overload passes for none.
"""

from __future__ import annotations

import http.client
from collections import Counter

from contract.endpoints import ServerRecord
from serving.layout.tfserving_config import METRICS

# Engine -> the purpose of a port, and the page there that needs no model.
PAGES = {"triton": ("http", "/v2/health/live"), "tfserving": ("rest", METRICS)}
ANSWER_S = 5.0
MOST_MISSED = 6  # in a row: about half a minute where each is waited for, a few seconds where each is refused


class Silence:
    """Counts, for each server, the looks at which its page did not answer."""

    def __init__(self) -> None:
        self._missed: Counter[str] = Counter()

    def too_long(self, server: ServerRecord) -> bool:
        """Ask once, which takes up to ANSWER_S. True once; whoever is told restarts the server or gives it up.

        Asked of containers only: a process is seen from here, and a server at an address is not ours to restart.
        """
        if server.place != "docker" or _answers(server):
            self.forget(server)
            return False
        self._missed[server.engine] += 1
        if self._missed[server.engine] < MOST_MISSED:
            return False
        self.forget(server)
        return True

    def forget(self, server: ServerRecord) -> None:
        """Whoever comes in its place is counted from the beginning."""
        del self._missed[server.engine]


def _answers(server: ServerRecord) -> bool:
    purpose, page = PAGES[server.engine]
    connection = http.client.HTTPConnection(server.host, server.ports[purpose], timeout=ANSWER_S)
    try:
        connection.request("GET", page)
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
