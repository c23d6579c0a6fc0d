"""The stage that is on, looked at twice a second: how many answers a second come now."""

from __future__ import annotations

import time
from collections import deque

LOOKS = 7  # the rate is that of the last three seconds: that often several load processes report to their master


class Course:
    """Begins with the stage."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._looks = deque([(0.0, 0)], maxlen=LOOKS)  # seconds, good answers until then

    def see(self, good: int) -> None:
        """Look: so many good answers have come since the stage began."""
        self._looks.append((self.seconds, good))

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Good answers per second of late."""
        (began, before), (now, seen) = self._looks[0], self._looks[-1]
        return (seen - before) / (now - began) if now > began else 0.0
