"""The part of a stage that counts, as one load process sees it: what is in flight, what was late, what came back."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtest.admission import Abort
from loadtest.orders import Done, Order
from loadtest.payloads import Request


@dataclass
class Window:
    """One order being carried out. Times are nanoseconds of this machine's monotonic clock."""

    order: Order
    start_ns: int
    end_ns: int
    late_ns: float  # a send later than this is late
    users: int = 0  # of Locust's, that have taken part
    dispatched: bool = False  # open loop: one dispatcher has taken the schedule
    drained: bool = False  # open loop: the schedule is through
    pending: int = 0  # open loop: requests whose greenlet has been made and has not ended
    abandoned: bool = False  # what is still in flight was given up and recorded; late answers do not count
    abort: Abort | None = None  # when to stop for failures
    cut: bool = False  # nothing more is sent: too many requests failed
    in_flight: dict[int, tuple[Request, int, int]] = field(default_factory=dict)  # request, intended, sent
    cpu: float = 0.0
    due: int = 0  # requests that were due in the window
    late: int = 0  # of these, sent late
    good: list[int] = field(default_factory=lambda: [0, 0, 0])  # good answers per third of the window

    def over(self, now_ns: int) -> bool:
        """Whether nothing may be intended any more."""
        return self.cut or now_ns >= self.end_ns

    def count(self, intended_ns: int, sent_ns: int, done_ns: int, good: bool) -> None:
        """Note one request that is over."""
        if self.abort is not None and self.abort.seen(not good):
            self.cut = True
        start, end = self.start_ns, self.end_ns
        if start <= intended_ns < end:
            self.due += 1
            self.late += sent_ns - intended_ns > self.late_ns
        if good and start <= done_ns < end:
            self.good[3 * (done_ns - start) // (end - start)] += 1

    def report(self, worker: str) -> Done:
        """What the master hears of it."""
        return Done(self.order.number, worker, round(self.cpu, 4), self.due, self.late, self.good, self.cut)
