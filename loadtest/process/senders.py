"""The senders of an open loop: whose turn it is waits for the next arrival, gives the turn on, and sends it.

So an arrival is sent by the very greenlet that the timer woke. A dispatcher that made a greenlet for each arrival sent
0.05 ms later at the median and took a third more of a core. There are as many senders as requests may be in flight,
made when they are needed: while all of them wait for answers nobody has the turn, and what is due meanwhile is sent
late, by as much as its record says. Such an arrival was *held*: late because of the answers, not because of the sender.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from loadtest.plan.payloads import Request
from loadtest.process.punctual import sleep_until
from loadtest.process.window import Window

LOOK_S = 0.5  # how often it is asked whether there is patience left

Arrival = tuple[int, Request]  # intended send (nanoseconds of this machine's monotonic clock), what is sent
Taken = tuple[int, Request, bool]  # the same, and whether the limit held it back


class Senders:
    """At most ``limit`` senders for ``arrivals``, which ascend.

    ``send`` sends one of them, is told whether it was held, and waits for its answer.
    """

    def __init__(
        self, window: Window, arrivals: Iterator[Arrival], limit: int, send: Callable[[int, Request, bool], None]
    ) -> None:
        self._window, self._arrivals, self._limit, self._send = window, arrivals, limit, send
        self._turn = BoundedSemaphore(1)
        self._count = self._resting = 0  # senders; of these, how many wait for their turn
        self._full_ns: int | None = None  # since when arrivals have had to wait for answers; None while none has to
        self._over = Event()
        self._next: Arrival | None = None
        self._advance()

    def run(self, patience: Callable[[], float]) -> None:
        """Send until nothing is left, or no ``patience`` (in seconds) with senders that wait for their answers."""
        self._employ()
        while not self._over.is_set() and (left := patience()) > 0:
            self._over.wait(min(LOOK_S, left))

    def unsent(self) -> Iterator[Taken]:
        """What was due and will not be sent any more."""
        while self._next is not None and not self._window.ended(self._next[0]):
            intended_ns, request = self._next
            self._advance()
            yield intended_ns, request, self._held(intended_ns)
        self.stop()

    def stop(self) -> None:
        """Nothing more is sent; who waits for an answer still does."""
        self._next = self._window.next_ns = None
        self._window.drained = True
        self._over.set()

    def _employ(self) -> None:
        self._count += 1
        gevent.spawn(self._work)

    def _work(self) -> None:
        while (taken := self._due()) is not None:
            if not self._resting:
                self._turn_is_free()
            self._send(*taken)
            if self._window.aborted:  # whoever waits for the next arrival, however far it is, need not be waited for
                self.stop()

    def _turn_is_free(self) -> None:
        """Nobody waits for it: one more sender takes it, or from now on arrivals wait for an answer."""
        if self._count < self._limit:
            self._employ()
        elif self._full_ns is None:
            self._full_ns = time.monotonic_ns()

    def _held(self, intended_ns: int) -> bool:
        """Whether it came due while all waited for answers. What was due before that is late by the sender's fault."""
        return self._full_ns is not None and intended_ns >= self._full_ns

    def _due(self) -> Taken | None:
        """Wait for the turn, then for the next arrival. None when nothing more is to be sent."""
        self._resting += 1
        with self._turn:
            self._resting -= 1
            arrival = self._next
            if arrival is None:
                return None
            if arrival[0] > time.monotonic_ns():  # nothing waits any longer
                self._full_ns = None
            sleep_until(arrival[0])
            if self._next is None:  # stopped meanwhile
                return None
            if self._window.ended(arrival[0]):
                self.stop()
                return None
            self._window.pending += 1
            self._advance()
            return *arrival, self._held(arrival[0])

    def _advance(self) -> None:
        self._next = next(self._arrivals, None)
        if self._next is None:
            self.stop()
        else:
            self._window.next_ns = self._next[0]
