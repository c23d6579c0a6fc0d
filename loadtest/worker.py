"""One load process: carries out orders, sends requests on time, records every one of them. No Locust in here.

A user of a closed loop calls `closed`, which sends until the window is over. Of an open loop's users the first one in
each load process dispatches the schedule, the others have nothing to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import gevent
import psutil
from gevent.lock import BoundedSemaphore

from contract.records import Plan, Stage, VariantPlan
from contract.shapes import Closed, Opened, Steady, Trace
from contract.trust import late_limit_ms
from loadtest.admission import Abort
from loadtest.arrivals import arrivals, choices, read_trace
from loadtest.clients import Connection, Reply, connect
from loadtest.orders import Done, Order
from loadtest.payloads import Request, Requests, requests_of
from loadtest.punctual import sleep_until, take_slack_away
from loadtest.recorder import Recorder, Sink
from loadtest.window import Window

PAUSE_S = 0.02
DRAIN_S = 10.0  # after a window, for what is still in flight
ROUND_SEED, USER_SEED = 100_003, 7_919  # primes, so that no two of a run's seeds fall together

# name, milliseconds, bytes of the answer, class of the failure or ""
Tell = Callable[[str, float, int, str], None]


def schedule_seed(plan: Plan, rate: float, turn: int) -> int:
    """The same arrivals for every variant that is measured at the same rate in the same round, the repeat included."""
    return plan.seeds.schedule + round(rate) + ROUND_SEED * (turn - 1)


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
        self._tickets = 0
        self._recorders: dict[int, Recorder] = {}
        self._requests: dict[tuple[int, str], Requests] = {}

    def begin(self, order: Order) -> None:
        """Enter a stage: from now on `closed` and `open` have something to do. Nothing to do for who is not named."""
        if self._name not in order.workers:
            return
        shift = order.shift_ns()
        variant, _ = self.of(order)
        self._recorder(order.variant).shift_ns = shift
        start, end = order.start_ns - shift, order.end_ns - shift
        late_ns = late_limit_ms(variant.endpoint.slo.tightest_ms) * 1e6
        most = self._plan.abort_error_rate
        self.window = Window(order, start, end, late_ns, abort=Abort(most) if most else None)

    def carry_out(self, order: Order) -> Done | None:
        """Begin, wait until the window is over and what was due in it has come back, write everything down."""
        self.begin(order)
        window = self.window
        if window is None or window.order is not order:
            return None
        sleep_until(window.start_ns)
        before, began = self._cpu_seconds(), time.monotonic_ns()
        while not window.over(time.monotonic_ns()):
            sleep_until(min(window.end_ns, time.monotonic_ns() + 500_000_000))
            self._recorder(order.variant).flush_old()
        window.cpu = (self._cpu_seconds() - before) / max((time.monotonic_ns() - began) / 1e9, 1e-9)
        given_up = time.monotonic() + DRAIN_S + 1.0
        while not self._quiet(window) and time.monotonic() < given_up:
            gevent.sleep(PAUSE_S)
        self._close(window)
        return window.report(self._name)

    def serve(self) -> None:
        """What one of Locust's users does in the stage that is on."""
        window = self.window
        if window is not None:
            window.users += 1
            _, stage = self.of(window.order)
            (self.closed if stage.mode == "closed" else self.open)(window.users)

    def closed(self, user: int) -> None:
        """One user of a closed loop: send, wait for the answer, send the next, until the window is over."""
        window, variant, stage = self._current()
        requests = self._requests_of(window.order)
        picks = self._picks(window.order, requests, user)
        connection = self._connect(variant, requests.target, connections=1)
        pause_ns = int(stage.in_flight / self._plan.max_rps * 1e9) if self._plan.max_rps else 0
        try:
            while not window.over(now := time.monotonic_ns()):
                reply, sent, done = self._send(window, next(picks), now, connection)
                self._tell(stage.name, (done - sent) / 1e6, len(reply.body), reply.error)
                if reply.status == -1:
                    gevent.sleep(PAUSE_S)  # a dead server must not turn the loop into a spin
                if pause_ns:
                    sleep_until(now + pause_ns)  # all users together keep below the ceiling
        finally:
            connection.close()

    def open(self, user: int) -> None:
        """Send on schedule whether or not earlier requests are answered, up to the in-flight limit."""
        window, variant, stage = self._current()
        if window.dispatched:
            return
        window.dispatched = True
        requests = self._requests_of(window.order)
        limit = max(1, stage.in_flight // len(window.order.workers))
        connection = self._connect(variant, requests.target, limit)
        free = BoundedSemaphore(limit)
        picks, known = self._picks(window.order, requests, user), requests.named()
        try:
            for offset, key in self._schedule(window.order, stage):
                intended = window.start_ns + offset
                sleep_until(intended)
                if window.over(intended):
                    break
                request = known[key] if key else next(picks)
                if free.acquire(timeout=self._patience(window)):
                    window.pending += 1
                    gevent.spawn(self._one, window, stage.name, request, intended, connection, free)
                else:
                    self._give_up(window, request, intended)
            window.drained = True
            while window.pending and not window.abandoned:
                gevent.sleep(PAUSE_S)
        finally:
            connection.close()

    def finish(self) -> None:
        """Write what is buffered: the run is over or was interrupted."""
        if self.window is not None:
            self._close(self.window)
        for recorder in self._recorders.values():
            recorder.flush()

    def _current(self) -> tuple[Window, VariantPlan, Stage]:
        assert self.window is not None
        return self.window, *self.of(self.window.order)

    def of(self, order: Order) -> tuple[VariantPlan, Stage]:
        """What an order is about."""
        variant = self._plan.variants[order.variant]
        return variant, variant.stages[order.stage]

    def _connect(self, variant: VariantPlan, target: str, connections: int) -> Connection:
        endpoint = variant.endpoint
        return connect(endpoint.protocol, endpoint.address, target, connections, self._plan.client)

    def _requests_of(self, order: Order) -> Requests:
        variant, stage = self.of(order)
        key = order.variant, stage.payloads
        if key not in self._requests:
            self._requests[key] = self._prepared(variant, requests_of(variant, stage, self._results, self._live))
        return self._requests[key]

    def _prepared(self, variant: VariantPlan, requests: Requests) -> Requests:
        connection = self._connect(variant, requests.target, connections=1)
        try:
            return requests.prepared(connection.prepare)
        finally:
            connection.close()

    def _picks(self, order: Order, requests: Requests, user: int) -> Iterator[Request]:
        """The requests of one of this process' users (from 1), drawn by a sequence of its own.

        In a round they are the same for every variant, however often something was measured before.
        """
        process = order.workers.index(self._name)
        drawn = self._plan.seeds.payload + process + USER_SEED * user + ROUND_SEED * (order.round - 1)
        return (requests.requests[index] for index in choices(len(requests.requests), drawn))

    def _schedule(self, order: Order, stage: Stage) -> Iterator[tuple[int, str | None]]:
        """This process' share of the arrivals: offsets since the window's start, and the request that a trace names."""
        turn, among = order.workers.index(self._name), len(order.workers)
        shape = stage.shape or Steady(shape="steady", rate=stage.rate)
        assert not isinstance(shape, Closed)
        if isinstance(shape, Trace):
            offsets, keys = read_trace(shape.model_copy(update={"file": self._results / shape.file}))
            recorded = zip(offsets.tolist(), keys, strict=True)
            return islice(recorded, turn, None, among)
        if order.rate is not None and isinstance(shape, Steady):
            shape = shape.model_copy(update={"rate": order.rate, "of_maximum": None})
        return ((offset, None) for offset in islice(self._arrivals(shape, order, stage), turn, None, among))

    def _arrivals(self, shape: Opened, order: Order, stage: Stage) -> Iterator[int]:
        seed = schedule_seed(self._plan, order.rate or stage.rate or 0.0, order.round)
        return arrivals(shape, stage.duration_s, stage.warmup_s, seed)

    def _one(
        self, window: Window, name: str, request: Request, intended: int, connection: Connection, free: BoundedSemaphore
    ) -> None:
        try:
            reply, _, done = self._send(window, request, intended, connection)
            self._tell(name, (done - intended) / 1e6, len(reply.body), reply.error)
        finally:
            free.release()
            window.pending -= 1

    def _send(
        self, window: Window, request: Request, intended_ns: int, connection: Connection
    ) -> tuple[Reply, int, int]:
        """Send one request, record it, return (reply, sent, done)."""
        sent_ns = time.monotonic_ns()
        ticket = self._tickets = self._tickets + 1
        window.in_flight[ticket] = (request, intended_ns, sent_ns)
        reply = connection.send(request.prepared)
        done_ns = time.monotonic_ns()
        if not window.abandoned:
            del window.in_flight[ticket]
            self._record(window, request, intended_ns, sent_ns, done_ns, reply)
        return reply, sent_ns, done_ns

    def _give_up(self, window: Window, request: Request, intended_ns: int) -> None:
        """Record a request that the in-flight limit held back until long after the window."""
        now = time.monotonic_ns()
        self._record(window, request, intended_ns, now, now, Reply(-1, "never sent", b""))

    def _record(
        self, window: Window, request: Request, intended_ns: int, sent_ns: int, done_ns: int, reply: Reply
    ) -> None:
        window.count(intended_ns, sent_ns, done_ns, not reply.error)
        recorder = self._recorder(window.order.variant)
        recorder.add(window.order.stage, request, intended_ns, sent_ns, done_ns, reply)
        if not reply.error and window.start_ns <= intended_ns < window.end_ns:
            recorder.offer(window.order.stage, request.key, reply.headers, reply.body)

    def _recorder(self, variant: int) -> Recorder:
        if variant not in self._recorders:
            seed = self._plan.seeds.sampling + self._number + ROUND_SEED * variant
            name = self._plan.variants[variant].id
            self._recorders[variant] = Recorder(name, self._number, self._plan.answers, seed, self._sink)
        return self._recorders[variant]

    def _patience(self, window: Window) -> float:
        """Seconds until ``DRAIN_S`` after the window: then what is still waiting is given up."""
        return max(0.0, (window.end_ns - time.monotonic_ns()) / 1e9 + DRAIN_S)

    def _quiet(self, window: Window) -> bool:
        """Whether everything that was due in the window has been sent and answered."""
        _, stage = self.of(window.order)
        sent = window.drained or window.cut or stage.mode == "closed"
        return sent and not window.in_flight and not window.pending

    def _close(self, window: Window) -> None:
        """Give up what is still in flight, and write everything down."""
        window.abandoned = True
        self.window = None
        now = time.monotonic_ns()
        for request, intended_ns, sent_ns in window.in_flight.values():
            self._record(window, request, intended_ns, sent_ns, now, Reply(-1, "no answer", b""))
        self._recorder(window.order.variant).flush()

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
