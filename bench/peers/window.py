"""One window of load: what is asked of a client, what it counts, and what it hands back."""

from __future__ import annotations

import base64
import statistics
import time
from dataclasses import dataclass, field

TIMEOUT_S = 10.0  # for an answer; over HTTP for a connection
KEPT, EVERY = 32, 97  # sampled answers of a window


@dataclass(frozen=True)
class Load:
    """One window: where to send what, how many users, how long. ``body`` is base64."""

    protocol: str
    address: str
    target: str
    headers: dict[str, str]
    body: str
    users: int
    warm_s: float
    window_s: float


@dataclass
class Window:
    """What came of it. ``kept`` are [headers, body in base64] of sampled answers; ``cpu`` is the client's, in cores."""

    answers: int = 0
    errors: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    first_error: str = ""
    kept: list[tuple[dict[str, str], str]] = field(default_factory=list)


def headers_of(head: bytes) -> dict[str, str]:
    """Names (in small letters) and values of an HTTP answer's head; gRPC has none that anybody reads."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Tally:
    """Counts what ends inside the window: it begins when the warm-up has ended, and ``result`` ends it.

    What comes later is not counted.
    """

    def __init__(self, load: Load) -> None:
        self.window = Window()
        self.over = False
        self._latencies: list[float] = []
        self._load = load
        self._started = time.perf_counter()
        self._warm = True
        self._cpu = 0.0

    def running(self, now: float) -> bool:
        """Whether the window has not lasted as long as it is to (``now`` of perf_counter); begins it in its time."""
        if self._warm and now - self._started >= self._load.warm_s:
            self._warm, self._started, self._cpu = False, now, time.process_time()
            self._latencies.clear()
            self.window = Window(first_error=self.window.first_error)
        return self._warm or now - self._started < self._load.window_s

    def good(self, taken: float, body: bytes, head: bytes = b"") -> None:
        """An answer after so many seconds."""
        if self.over:
            return
        window = self.window
        if window.answers % EVERY == 0 and len(window.kept) < KEPT:
            window.kept.append((headers_of(head), base64.b64encode(body).decode()))
        window.answers += 1
        self._latencies.append(taken)

    def bad(self, why: str) -> None:
        """A request that was refused, cut off or answered with an error."""
        if self.over:
            return
        self.window.errors += 1
        self.window.first_error = self.window.first_error or why

    def result(self) -> Window:
        """The window, which is over now."""
        window, self.over = self.window, True
        window.seconds = time.perf_counter() - self._started
        window.cpu = (time.process_time() - self._cpu) / window.seconds
        if len(self._latencies) > 1:
            cuts = statistics.quantiles(self._latencies, n=100, method="inclusive")
            window.p50_ms, window.p99_ms = cuts[49] * 1e3, cuts[98] * 1e3
        return window
