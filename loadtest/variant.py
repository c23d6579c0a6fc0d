"""One variant under load: its stages, the window that is open now, its requests, its recorder. No Locust in here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contract.endpoints import PayloadEntry, PayloadIndex
from contract.errors import UsageError
from contract.files import read_model, write_json
from contract.records import Observation, Plan, ServerCounters, Stage, StageObservation, VariantPlan
from contract.trust import MOST_LATE_SHARE, STEADY_WITHIN, late_limit_ms, spread
from loadtest import counters
from loadtest.arrivals import choices
from loadtest.clients import Reply, Send, connect
from loadtest.recorder import Recorder


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent."""

    key: str
    rows: int
    body: bytes
    headers: dict[str, str]


@dataclass
class Window:
    """The part of a stage that counts; ``end_ns`` is None during warm-up."""

    stage: int
    start_ns: int = 0
    end_ns: int | None = None
    counted_before: ServerCounters | None = None
    cpu_before: float = 0.0
    dispatched: bool = False  # open loop: one dispatcher has taken the schedule
    drained: bool = False  # open loop: the schedule is through
    abandoned: bool = False  # what is still in flight was given up and recorded; late answers do not count
    in_flight: dict[int, tuple[Request, int, int]] = field(default_factory=dict)  # request, intended, sent
    cpu: float = 0.0
    counted: ServerCounters | None = None
    due: int = 0  # requests that were due in the window
    late: int = 0  # of these, sent late
    thirds: list[int] = field(default_factory=lambda: [0, 0, 0])  # good answers per third of the window

    def closed_at(self, now_ns: int) -> bool:
        """Whether nothing may be intended any more."""
        return self.end_ns is not None and now_ns >= self.end_ns


def trusted(stage: Stage, window: Window) -> bool:
    """Whether the machine let the stage be what it was meant to be: on time (open loop), steady (closed loop)."""
    if stage.mode == "open":
        return window.late <= MOST_LATE_SHARE * window.due
    return spread(window.thirds) <= STEADY_WITHIN


class Variant:
    """State of one run of one variant in one worker."""

    def __init__(self, plan: Plan, variant: VariantPlan, results: Path, live: Path, worker: int = 0) -> None:
        self.plan = plan
        self.stages: list[Stage] = variant.stages
        self.window: Window | None = None
        self._variant = variant
        self._results = results
        self._index, self.requests = _read_requests(live / variant.endpoint.payloads)
        self._seed = plan.seeds.payload + worker
        self._ports = next((s.ports for s in plan.servers if s.engine == variant.endpoint.engine), {})
        self._observed: list[StageObservation] = []
        self._late_ns = late_limit_ms(variant.endpoint.slo.p99_ms) * 1e6
        self._tickets = 0
        self.recorder = Recorder(results, variant.id, worker, plan.answers, plan.seeds.sampling + worker)

    def connect(self, connections: int) -> Send:
        """A client with connections of its own."""
        endpoint = self._variant.endpoint
        return connect(endpoint.protocol, endpoint.address, self._index.target, connections)

    def schedule_seed(self, stage: Stage) -> int:
        """The same arrivals for every variant that is measured at the same rate, the repeat included."""
        return self.plan.seeds.schedule + round(stage.rate or 0)

    def picks(self, user: int) -> Iterator[Request]:
        """The requests of one user, drawn by its own seeded sequence."""
        return (self.requests[index] for index in choices(len(self.requests), self._seed + 7919 * user))

    def send(self, window: Window, request: Request, intended_ns: int, send: Send) -> tuple[Reply, int, int]:
        """Send one request, record it, return (reply, sent, done)."""
        sent_ns = time.monotonic_ns()
        ticket = self._tickets = self._tickets + 1
        window.in_flight[ticket] = (request, intended_ns, sent_ns)
        reply = send(request.body, request.headers)
        done_ns = time.monotonic_ns()
        if window.abandoned:
            return reply, sent_ns, done_ns
        del window.in_flight[ticket]
        self._record(window, request, intended_ns, sent_ns, done_ns, reply)
        if not reply.error:
            self.recorder.offer(window.stage, request.key, reply.headers, reply.body)
        return reply, sent_ns, done_ns

    def give_up(self, window: Window, request: Request, intended_ns: int) -> None:
        """Record a request that the in-flight limit held back until long after the window."""
        now = time.monotonic_ns()
        self._record(window, request, intended_ns, now, now, Reply(-1, "never sent", b""))

    def _record(
        self, window: Window, request: Request, intended_ns: int, sent_ns: int, done_ns: int, reply: Reply
    ) -> None:
        if window.end_ns is not None:
            if window.start_ns <= intended_ns < window.end_ns:
                window.due += 1
                window.late += sent_ns - intended_ns > self._late_ns
            if window.start_ns <= done_ns < window.end_ns and not reply.error:
                window.thirds[3 * (done_ns - window.start_ns) // (window.end_ns - window.start_ns)] += 1
        self.recorder.add(
            window.stage,
            request.key,
            request.rows,
            intended_ns,
            sent_ns,
            done_ns,
            reply.status,
            reply.error,
            len(request.body),
            len(reply.body),
        )

    def begin(self, stage: int) -> Window:
        """Enter a stage: users send, nothing counts yet."""
        self.window = Window(stage)
        return self.window

    def open_window(self, window: Window) -> None:
        """From now on requests count, for the stage's duration."""
        window.counted_before = counters.read(self._variant.endpoint, self._ports)
        window.cpu_before = _cpu_seconds()
        window.start_ns = time.monotonic_ns()
        window.end_ns = window.start_ns + int(self.stages[window.stage].duration_s * 1e9)

    def end_window(self, window: Window) -> None:
        """Note what this process and the server did in the window; what is in flight may still be answered."""
        elapsed = (time.monotonic_ns() - window.start_ns) / 1e9
        window.cpu = (_cpu_seconds() - window.cpu_before) / elapsed
        after = counters.read(self._variant.endpoint, self._ports)
        window.counted = counters.difference(window.counted_before, after)

    def quiet(self, window: Window) -> bool:
        """Whether everything that was due in the window has been sent and answered."""
        sent = window.drained or self.stages[window.stage].mode == "closed"
        return sent and not window.in_flight

    def close_window(self, window: Window) -> None:
        """Give up what is still in flight, and write everything down."""
        assert window.end_ns is not None
        window.abandoned = True
        now = time.monotonic_ns()
        for request, intended_ns, sent_ns in window.in_flight.values():
            self._record(window, request, intended_ns, sent_ns, now, Reply(-1, "no answer", b""))
        self._observed.append(
            StageObservation(
                stage=window.stage,
                attempt=1 + sum(seen.stage == window.stage for seen in self._observed),
                window_start_ns=window.start_ns,
                window_end_ns=window.end_ns,
                client_cpu=round(window.cpu, 4),
                server=window.counted,
            )
        )
        self.window = None
        self.finish(self.complete)

    def finish(self, complete: bool) -> None:
        """Write buffered records and the observation so far."""
        self.recorder.flush()
        observation = Observation(schema_version=1, variant=self._variant.id, complete=complete, stages=self._observed)
        write_json(self._results / f"server-stats-{self._variant.id}.json", observation)

    @property
    def complete(self) -> bool:
        return len({seen.stage for seen in self._observed}) == len(self.stages)


def _read_requests(folder: Path) -> tuple[PayloadIndex, list[Request]]:
    """Read the serialised requests of one inference each; where there are none, all of them."""
    index = read_model(folder / "index.json", PayloadIndex, "make serve")
    singles: list[PayloadEntry] = [entry for entry in index.payloads if entry.rows == 1] or index.payloads
    if not singles:
        raise UsageError(f"{folder} holds no requests; run 'make serve' again")
    requests = [Request(entry.key, entry.rows, (folder / entry.file).read_bytes(), entry.headers) for entry in singles]
    return index, requests


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system
