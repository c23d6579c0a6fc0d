"""The part of a stage that counts, as one load process sees it: what is in flight, what was late, what came back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from loadtest.clients.ceiling import Ceiling
from loadtest.plan.admission import Abort
from loadtest.plan.payloads import Request
from loadtest.process.orders import Done, Order, Progress

DRAIN_S = 10.0  # after a window, for what is still in flight
GRACE_S = 10.0  # after window and drain, for the report of a load process that is busy writing
LEAST_NS = 1_000_000  # of a window that is ended before it has begun: rates are divided by its length


@dataclass
class Window:
    """One order being carried out. Times are nanoseconds of this machine's monotonic clock."""

    order: Order
    start_ns: int
    end_ns: int
    late_ns: float  # a send later than this is late
    limits_ns: dict[str, float] = field(default_factory=dict)  # percentile -> its objective
    users: int = 0  # of Locust's, that have taken part
    dispatched: bool = False  # open loop: one dispatcher has taken the schedule
    drained: bool = False  # open loop: the schedule is through
    pending: int = 0  # open loop: requests whose time has come and that are not over
    abandoned: bool = False  # what is still in flight was given up and recorded; late answers do not count
    drain_s: float = DRAIN_S
    ceiling: Ceiling | None = None  # of all that this load process sends in it, retries included
    abort: Abort | None = None  # when to stop for failures
    aborted: bool = False  # nothing more is sent: too many requests failed
    in_flight: dict[int, tuple[Request, int, int, bool]] = field(default_factory=dict)  # request, intended, sent, held
    next_ns: int | None = None  # open loop: intended send of what comes next; the in-flight limit may hold it back
    cpu: float = 0.0
    due: int = 0  # requests that were due in the window
    late: int = 0  # of these, sent late though there was room for them
    held: int = 0  # of these, sent late because as many as the in-flight limit allows were waiting for answers
    failed: int = 0  # of these, not answered well
    reopened: int = 0  # of these, answered well over a new connection, for the server had closed the one that was kept
    over: dict[str, int] = field(init=False)  # of these, by percentile: failed, or slower than the objective
    near: dict[str, int] = field(init=False)  # the same of half the objective
    good: list[int] = field(default_factory=lambda: [0, 0, 0])  # good answers per third of the window

    def __post_init__(self) -> None:
        self.over = dict.fromkeys(self.limits_ns, 0)
        self.near = dict.fromkeys(self.limits_ns, 0)

    def ended(self, now_ns: int) -> bool:
        """Whether nothing may be intended any more."""
        return self.aborted or now_ns >= self.end_ns

    def end(self, now_ns: int) -> None:
        """End it before its time: what was intended until now still counts, and is waited for."""
        self.end_ns = max(self.start_ns + LEAST_NS, min(self.end_ns, now_ns))

    def count(
        self, intended_ns: int, sent_ns: int, done_ns: int, good: bool, held: bool = False, reopened: bool = False
    ) -> None:
        """Note one request that is over; ``held``: it came due while the in-flight limit was reached."""
        if self.abort is not None and not self.aborted and self.abort.seen(not good):
            self.aborted = True
            self.end(done_ns)  # no rate is divided by time in which nothing was sent
        start, end = self.start_ns, self.end_ns
        if start <= intended_ns < end:
            self.due += 1
            late = sent_ns - intended_ns > self.late_ns
            self.late += late and not held
            self.held += late and held
            self.failed += not good
            self.reopened += reopened and good
            latency_ns = done_ns - intended_ns if good else math.inf
            for name, limit_ns in self.limits_ns.items():
                self.over[name] += latency_ns > limit_ns
                self.near[name] += latency_ns > limit_ns / 2
        if good and start <= done_ns < end:
            self.good[3 * (done_ns - start) // (end - start)] += 1

    def progress(self, worker: str, now_ns: int) -> Progress:
        """How it goes: what is over, and what has been unanswered for so long that it is lost for every objective."""
        waiting = [intended for _, intended, *_ in self.in_flight.values()]
        waiting += [self.next_ns] if self.next_ns is not None and self.next_ns < now_ns else []
        waited = [now_ns - intended for intended in waiting if self.start_ns <= intended < self.end_ns]
        slow = {name: sum(each > limit_ns for each in waited) for name, limit_ns in self.limits_ns.items()}
        slowish = {name: sum(each > limit_ns / 2 for each in waited) for name, limit_ns in self.limits_ns.items()}
        return Progress(
            number=self.order.number,
            worker=worker,
            due=self.due + min(slow.values(), default=0),
            late=self.late,
            failed=self.failed,
            over={name: count + slow[name] for name, count in self.over.items()},
            near={name: count + slowish[name] for name, count in self.near.items()},
            in_flight=len(waiting),
        )

    def report(self, worker: str, index: int = 0) -> Done:
        """What the master hears of it, from the load process of this name and index."""
        return Done(
            number=self.order.number,
            worker=worker,
            cpu=round(self.cpu, 4),
            due=self.due,
            late=self.late,
            good=self.good,
            aborted=self.aborted,
            failed=self.failed,
            over=self.over,
            end_ns=self.order.start_ns + self.end_ns - self.start_ns,  # by the master's clock
            elsewhere=self.order.from_elsewhere,
            held=self.held,
            reopened=self.reopened,
            index=index,
        )
