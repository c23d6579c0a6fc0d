"""How many requests connections may send per second together, those that are sent again included. Pure; nanoseconds.

What is planned keeps below the ceiling by itself (`admission.py`; a closed loop's users take turns), and leaves on
time. A request that failed may be sent again only into the room that the planned ones leave: at the ceiling there is
none.
"""

from __future__ import annotations

SAVED_S = 0.1  # of the rate, that may be left unused and made up for


class Ceiling:
    """The generic cell rate algorithm (ITU-T I.371) for ``rps`` requests per second.

    Each send moves a moment on by ``1 / rps``; there is room while that moment is not ahead of now. So in the t seconds
    before a request is sent again, no more than ``rps * (t + SAVED_S) + 1`` were sent.
    """

    def __init__(self, rps: float) -> None:
        self.interval_ns = round(1e9 / rps)  # from one to the next, at the rate
        self._saved = round(SAVED_S * 1e9)
        self._paid_until = 0

    def sent(self, now_ns: int, requests: int = 1) -> None:
        """Note what is sent, whether or not there is room."""
        self._paid_until = max(self._paid_until, now_ns - self._saved) + requests * self.interval_ns

    def take(self, when_ns: int) -> bool:
        """Whether there is room to send one more then, or soon after; if so it is noted."""
        if self._paid_until > when_ns:
            return False
        self.sent(when_ns)
        return True
