"""One load process: carries out orders, sends requests on time, records every one of them. No Locust in here.

A user of a closed loop calls `closed`, which sends until the window is over. Of an open loop's users the first one in
each load process dispatches the schedule, the others have nothing to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import gevent
import psutil

from contract.records import Plan, Stage
from contract.trust import late_limit_ms
from loadtest.clients import Connection, Reply, connect
from loadtest.clients.ceiling import Ceiling
from loadtest.plan.admission import Abort
from loadtest.plan.payloads import Request, Requests, requests_of
from loadtest.plan.seeds import ROUND_SEED
from loadtest.process.draws import picks, schedule
from loadtest.process.orders import Cut, Done, Order, Progress
from loadtest.process.punctual import Turns, sleep_until, take_slack_away
from loadtest.process.recorder import Recorder, Sink
from loadtest.process.senders import Arrival, Senders
from loadtest.process.window import Window

PAUSE_S = 0.02
TELL_S = 0.1  # how often a load process tells how a window goes that may be ended early
FLUSH_S = 0.5

# name, milliseconds, bytes of the answer, class of the failure or "", whether it was sent late
Tell = Callable[[str, float, int, str, bool], None]


class Worker:
    """State of one load process. ``name`` is how the master knows it; ``results`` and ``live`` hold what it reads."""

    def __init__(self, plan: Plan, results: Path, live: Path, name: str, number: int, sink: Sink, tell: Tell) -> None:
        self.window: Window | None = None
        self._plan = plan
        self._results = results
        self._live = live
        self._name = name
        self._number = number
        self._sink = sink
        self._tell = tell
        self._process = psutil.Process()
        take_slack_away()
        self._turns = Turns()  # of closed loops below a ceiling, from one stage to the next
        self._tickets = 0
        self._recorders: dict[int, Recorder] = {}
        self._requests: dict[tuple[int, str], Requests] = {}

    def begin(self, order: Order) -> None:
        """Enter a stage: from now on `closed` and `open` have something to do. Nothing to do for who is not named."""
        if self._name not in order.workers:
            return
        shift = order.shift_ns()
        recorder = self._recorder(order)
        recorder.shift_ns = shift
        slo, most = order.item.endpoint.slo, self._plan.abort_error_rate
        self.window = Window(
            order,
            start_ns=order.start_ns - shift,
            end_ns=order.end_ns - shift,
            late_ns=late_limit_ms(slo.tightest_ms) * 1e6,
            limits_ns={name: limit_ms * 1e6 for name, limit_ms in slo.latency_ms.items()},
            ceiling=self._ceiling(order),
            abort=Abort(most) if most else None,
        )

    def cut(self, cut: Cut) -> None:
        """End the window of this order now, if it is still on."""
        if self.window is not None and self.window.order.number == cut.number:
            self.window.drain_s = cut.drain_s
            self.window.end(time.monotonic_ns())

    def carry_out(self, order: Order, tell: Callable[[Progress], None] = lambda _: None) -> Done | None:
        """Begin, wait until the window is over and what was due in it has come back, write everything down.

        ``tell`` hears several times a second how a window goes that may be ended early.
        """
        self.begin(order)
        window = self.window
        if window is None or window.order is not order:
            return None
        while not window.aborted and (now := time.monotonic_ns()) < window.start_ns:
            sleep_until(min(window.start_ns, now + int(FLUSH_S * 1e9)))
        before, began = self._cpu_seconds(), time.monotonic_ns()
        pause_ns = int((TELL_S if order.early else FLUSH_S) * 1e9)
        while not window.ended(time.monotonic_ns()):
            sleep_until(min(window.end_ns, time.monotonic_ns() + pause_ns))
            if order.early:
                tell(window.progress(self._name, time.monotonic_ns()))
            self._recorder(order).flush_old()
        window.cpu = (self._cpu_seconds() - before) / max((time.monotonic_ns() - began) / 1e9, 1e-9)
        ended = time.monotonic()
        while not self._quiet(window) and time.monotonic() < ended + window.drain_s + 1.0:
            gevent.sleep(PAUSE_S)
        self._close(window)
        return window.report(self._name, self._number)

    def serve(self) -> None:
        """What one of Locust's users does in the stage that is on."""
        window = self.window
        if window is not None:
            window.users += 1
            (self.closed if window.order.plan.mode == "closed" else self.open)(window.users)

    def closed(self, user: int) -> None:
        """One user of a closed loop: send, wait for the answer, send the next, until the window is over."""
        window, stage = self._current()
        requests = self._requests_of(window.order)
        drawn = picks(self._plan.seeds, window.order, self._name, user, requests)
        connection = self._connect(window.order, requests.target, connections=1, ceiling=window.ceiling)
        interval_ns = window.ceiling.interval_ns if window.ceiling else 0
        try:
            while not window.ended(now := self._turns.wait(interval_ns, window.ended)):
                reply, sent, done = self._send(window, next(drawn), now, connection)
                self._tell(stage.name, (done - sent) / 1e6, len(reply.body), reply.error, False)
                if reply.status == -1:
                    gevent.sleep(PAUSE_S)  # a dead server must not turn the loop into a spin
        finally:
            connection.close()

    def open(self, user: int) -> None:
        """Send on schedule whether or not earlier requests are answered, up to the in-flight limit."""
        window, stage = self._current()
        if window.dispatched:
            return
        window.dispatched = True
        requests = self._requests_of(window.order)
        limit = max(1, stage.in_flight // len(window.order.workers))
        connection = self._connect(window.order, requests.target, limit, window.ceiling)

        def send(intended_ns: int, request: Request, held: bool) -> None:
            self._one(window, stage.name, request, intended_ns, connection, held)

        senders = Senders(window, self._arrivals(window, requests, user), limit, send)
        try:
            senders.run(lambda: self._patience(window))
            for intended_ns, request, held in senders.unsent():
                self._give_up(window, request, intended_ns, held)
            while window.pending and not window.abandoned:
                gevent.sleep(PAUSE_S)
        finally:
            senders.stop()
            connection.close()

    def finish(self) -> None:
        """Write what is buffered: the run is over or was interrupted."""
        if self.window is not None:
            self._close(self.window)
        for recorder in self._recorders.values():
            recorder.flush()

    def _current(self) -> tuple[Window, Stage]:
        assert self.window is not None
        return self.window, self.window.order.plan

    def _ceiling(self, order: Order) -> Ceiling | None:
        """This process' part of the run's ceiling; None without one."""
        if self._plan.max_rps is None:
            return None
        sharing, stage = len(order.workers), order.plan
        if stage.mode == "closed":
            sharing = min(sharing, stage.in_flight)  # who has no user sends nothing
        return Ceiling(self._plan.max_rps / sharing)

    def _connect(self, order: Order, target: str, connections: int, ceiling: Ceiling | None = None) -> Connection:
        """Connections of one user, or of one load process."""
        endpoint = order.item.endpoint
        connection = connect(endpoint.protocol, endpoint.address, target, connections, self._plan.client)
        if ceiling is not None:
            connection.keep_below(ceiling)
        return connection

    def _requests_of(self, order: Order) -> Requests:
        key = order.variant, order.plan.payloads
        if key not in self._requests:
            read = requests_of(order.item, order.plan, self._results, self._live)
            with closing(self._connect(order, read.target, connections=1)) as connection:
                self._requests[key] = read.prepared(connection.prepare)
        return self._requests[key]

    def _arrivals(self, window: Window, requests: Requests, user: int) -> Iterator[Arrival]:
        """When this process has to send, and what."""
        drawn, known = picks(self._plan.seeds, window.order, self._name, user, requests), requests.named()
        for offset, key in schedule(self._plan, window.order, self._name, self._results):
            yield window.start_ns + offset, known[key] if key else next(drawn)

    def _one(
        self, window: Window, name: str, request: Request, intended: int, connection: Connection, held: bool
    ) -> None:
        try:
            reply, sent, done = self._send(window, request, intended, connection, held)
            late = sent - intended > window.late_ns and not held
            self._tell(name, (done - intended) / 1e6, len(reply.body), reply.error, late)
        finally:
            window.pending -= 1

    def _send(
        self, window: Window, request: Request, intended_ns: int, connection: Connection, held: bool = False
    ) -> tuple[Reply, int, int]:
        """Send one request, record it, return (reply, sent, done)."""
        sent_ns = time.monotonic_ns()
        ticket = self._tickets = self._tickets + 1
        window.in_flight[ticket] = (request, intended_ns, sent_ns, held)
        reply = connection.send(request.prepared)
        done_ns = reply.done_ns or time.monotonic_ns()
        if not window.abandoned:
            del window.in_flight[ticket]
            self._record(window, request, intended_ns, sent_ns, done_ns, reply, held)
        return reply, sent_ns, done_ns

    def _give_up(self, window: Window, request: Request, intended_ns: int, held: bool) -> None:
        """Record a request that was not sent until long after the window."""
        now = time.monotonic_ns()
        self._record(window, request, intended_ns, now, now, Reply(-1, "never sent", b""), held)

    def _record(
        self,
        window: Window,
        request: Request,
        intended_ns: int,
        sent_ns: int,
        done_ns: int,
        reply: Reply,
        held: bool,
    ) -> None:
        window.count(intended_ns, sent_ns, done_ns, not reply.error, held, bool(reply.reopened))
        recorder = self._recorder(window.order)
        recorder.add(window.order.stage, request, intended_ns, sent_ns, done_ns, reply)
        if not reply.error and window.start_ns <= intended_ns < window.end_ns:
            recorder.offer(window.order.stage, request.key, reply.headers, reply.body)

    def _recorder(self, order: Order) -> Recorder:
        if order.variant not in self._recorders:
            seed = self._plan.seeds.sampling + self._number + ROUND_SEED * order.variant
            recorder = Recorder(order.item.id, self._number, self._plan.answers, seed, self._sink)
            self._recorders[order.variant] = recorder
        return self._recorders[order.variant]

    def _patience(self, window: Window) -> float:
        """Seconds until ``drain_s`` after the window: then what is still waiting is given up."""
        return max(0.0, (window.end_ns - time.monotonic_ns()) / 1e9 + window.drain_s)

    def _quiet(self, window: Window) -> bool:
        """Whether everything that was due in the window has been sent and answered."""
        sent = window.drained or window.aborted or window.order.plan.mode == "closed"
        return sent and not window.in_flight and not window.pending

    def _close(self, window: Window) -> None:
        """Give up what is still in flight, and write everything down."""
        window.abandoned = True
        self.window = None
        now = time.monotonic_ns()
        for request, intended_ns, sent_ns, held in window.in_flight.values():
            self._record(window, request, intended_ns, sent_ns, now, Reply(-1, "no answer", b""), held)
        self._recorder(window.order).flush()

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
