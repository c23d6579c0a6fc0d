"""The stage that is on, looked at twice a second: how many answers a second come now, and percentiles so far."""

from __future__ import annotations

import time
from array import array
from collections import deque

from contract.statistics import PERCENTILES
from loadtest.bins import Bins

LOOKS = 5  # the rate is that of the last two seconds


class Course:
    """Begins with the stage. What was seen before is not looked at again."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._bins = Bins()
        self._seen = 0
        self._looks = deque([(0.0, 0)], maxlen=LOOKS)  # seconds, good answers until then

    def see(self, latencies_ms: array[float]) -> None:
        """Take what has come since the last look; ``latencies_ms`` are all of the stage's good answers."""
        self._bins.add(latencies_ms[self._seen :])
        self._seen = len(latencies_ms)
        self._looks.append((self.seconds, self._seen))

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Good answers per second of late."""
        (began, before), (now, seen) = self._looks[0], self._looks[-1]
        return (seen - before) / (now - began) if now > began else 0.0

    def percentiles(self) -> dict[str, float]:
        """Milliseconds, to 1 %; empty where nothing was answered yet."""
        if not self._bins.count:
            return {}
        return dict(zip(PERCENTILES, self._bins.percentiles(list(PERCENTILES.values())), strict=True))
