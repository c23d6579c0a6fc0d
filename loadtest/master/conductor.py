"""Carries out a run's steps: what the load processes are told, what came of it. Runs in the master.

What a load process does not report in time, it was lost for: the stage says so and is not valid; nothing waits for
ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.event import Event

from contract.endpoints import Endpoint
from contract.errors import ServerError
from contract.events import append_event, happened
from contract.records import ServerCounters, Stage
from contract.trust import MOST_LATE_SHARE, STEADY_WITHIN, spread
from loadtest.master.asking import Cut
from loadtest.master.early import FORGIVEN, Glance, together, verdict
from loadtest.master.observing import Observed, figures, observation
from loadtest.master.steps import Step, Steps, subject
from loadtest.process.orders import Done, Order, Progress, clock
from loadtest.process.punctual import sleep_until
from loadtest.process.window import DRAIN_S, GRACE_S
from loadtest.process.worker import PAUSE_S
from loadtest.watching import counters

EVENTS = "events.jsonl"  # what happened to the servers during the run
LEAD_S = 0.05  # between an order and its begin, so that every load process has it
HASTE_S = 2.0  # the drain of a window that somebody has interrupted
LEAST_S = 0.5  # of such a window, to be told of
GLANCE_S = 0.1  # how often a window that may end early is looked at


def trusted(stage: Stage, done: list[Done]) -> bool:
    """Whether the machine let the stage be what it was meant to be: on time (open loop), steady (closed loop).

    What the in-flight limit held back is not among the late ones: the server held it up, and a stage that is measured
    again until the server does not would omit the very requests that had to wait.
    """
    if stage.mode == "open":
        return sum(item.late for item in done) <= MOST_LATE_SHARE * sum(item.due for item in done)
    return spread([sum(part) for part in zip(*(item.good for item in done), strict=True)]) <= STEADY_WITHIN


class Conductor:
    """One run. ``tell`` sends an order to every load process, ``cut`` ends an order's window and gives it so many
    seconds of drain; what they report comes back through `hear` and `hear_progress`."""

    def __init__(
        self,
        steps: Steps,
        results: Path,
        tell: Callable[[Order], None],
        cut: Callable[[int, float], None] = lambda *_: None,
        prepare: Callable[[Endpoint], None] = lambda _: None,
        note: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self._steps = steps
        self._tell = tell
        self._cut = cut
        self._prepare = prepare
        self._note = note
        self._results = results
        self._observed = Observed(results)
        self._number = 0
        self._interruption = Event()
        self._reported = Event()  # every load process of the order has: there is nothing left to wait for
        self._awaited: set[str] = set()
        self._on = False  # a step is being measured
        self._heard: dict[str, Done] = {}
        self._progress: dict[str, Progress] = {}
        self._best: dict[int, float] = {}  # by variant: the most answers per second of a closed stage

    def next(self) -> Step | None:
        """What comes next; None at the end."""
        return None if self._interruption.is_set() else self._steps.next()

    def stage(self, step: Step) -> Stage:
        """The step's stage in the plan."""
        return subject(self._steps.plan, step)[1]

    def hear(self, done: Done) -> None:
        """Take a load process' report; one of an older order comes too late."""
        if done.number == self._number:
            self._heard[done.worker] = done
            if self._awaited <= self._heard.keys():
                self._reported.set()

    def hear_progress(self, progress: Progress) -> None:
        """Take what a load process tells of the window that is on."""
        if progress.number == self._number:
            self._progress[progress.worker] = progress

    def measure(
        self,
        step: Step,
        workers: list[str],
        alive: Callable[[], list[str]],
        missing_users: int = 0,
        missing_workers: int = 0,
    ) -> None:
        """Carry out one step with these load processes and write down what came of it.

        ``missing_users`` of a closed loop could not be started: it was not measured at its concurrency. Beside
        ``workers`` there should have been ``missing_workers``, which were lost before or never became ready.
        """
        began = time.monotonic()
        variant, stage = subject(self._steps.plan, step)
        self._observed.begin(self._steps.plan, step.variant)  # first: a run may be killed at any moment
        self._note(step)
        try:
            self._prepare(variant.endpoint)
        except ServerError as error:
            engine, model = variant.endpoint.engine, variant.endpoint.served_name
            append_event(self._results / EVENTS, happened("not measured", engine, model, f"{variant.id}: {error}"))
            self._steps.refused(step, error)
            return
        if self._interruption.is_set():
            return
        self._on = True
        order = self._order(step, workers)
        cut, counted = self._carried_out(order, alive)
        done = [self._heard[name] for name in workers if name in self._heard]
        lost = [name for name in workers if name not in self._heard]
        lost += [f"{missing_workers} of {len(workers) + missing_workers} load processes"] if missing_workers else []
        lost += [f"{missing_users} users"] if missing_users else []
        seen = observation(order, step.attempt, done, lost, counted, self._interruption.is_set())
        if not seen.interrupted:
            self._observed.add(self._steps.plan, step.variant, seen)
            measured = figures(seen, done, cut, time.monotonic() - began)
            if stage.mode == "closed":
                self._best[step.variant] = max(measured.answered_rps, self._best.get(step.variant, 0.0))
            # What failed speaks against the server: such a measurement is not thrown away for another.
            spoiled = bool(done) and not trusted(stage, done) and not seen.aborted and not measured.failed
            self._steps.ended(step, measured, spoiled)
        elif seen.window_end_ns - seen.window_start_ns >= LEAST_S * 1e9:
            self._observed.add(self._steps.plan, step.variant, seen)
        self._on = False

    def interrupt(self) -> bool:
        """End the window that is on: what it has measured is kept, and nothing comes after it. False if none is on."""
        self._interruption.set()
        self._cut(self._number, HASTE_S)
        return self._on

    def finish(self) -> None:
        """Write every variant's observation as far as it got."""
        self._observed.write(self._steps.plan)

    def _order(self, step: Step, workers: list[str]) -> Order:
        self._number += 1
        variant, stage = subject(self._steps.plan, step)
        told = time.monotonic_ns()
        begin = told + int(LEAD_S * 1e9)
        start = begin + int(stage.warmup_s * 1e9)
        return Order(
            number=self._number,
            round=step.round,
            variant=step.variant,
            stage=step.stage,
            item=variant,
            draw=step.draw,
            rate=self._rate(step, stage),
            begin_ns=begin,
            start_ns=start,
            end_ns=start + int(stage.duration_s * 1e9),
            early=step.early and stage.mode == "open",  # of a closed loop nobody knows how many requests it will have
            workers=workers,
            clock=clock(),
            told_ns=told,
        )

    def _rate(self, step: Step, stage: Stage) -> float | None:
        """Requests per second of an open loop; where the plan left it open, a share of what the closed loop gave."""
        share = getattr(stage.shape, "of_maximum", None)
        if share is None:
            return stage.rate
        # Nothing was answered in the closed stages, or they were ended for their failures: one request per second shows
        # whether it still is so.
        rate: float = max(1.0, share * self._best.get(step.variant, 0.0))
        return min(rate, self._steps.plan.max_rps or rate)

    def _watch(self, order: Order) -> Cut:
        """Wait for the window's end; one that may end early is looked at meanwhile, and cut. Says why.

        Load processes that stop because too many requests fail report at once.
        """
        if not order.early:
            self._rest_until(order.end_ns)
            return ""
        slo, planned = order.item.endpoint.slo, (order.rate or 0.0) * order.plan.duration_s
        forgiven = FORGIVEN if order.plan.purpose == "probe" else 0
        glances: list[Glance] = []
        while (now := time.monotonic_ns()) < order.end_ns and not self._is_over():
            if len(self._progress) == len(order.workers):
                elapsed = (now - order.start_ns) / (order.end_ns - order.start_ns)
                glances.append(together(list(self._progress.values()), elapsed))
            cut = verdict(slo, planned, glances, forgiven)
            if cut == "hopeless" or (cut and order.plan.purpose != "confirm"):  # a claim wants its whole window
                self._cut(order.number, DRAIN_S)
                return cut
            sleep_until(min(order.end_ns, now + int(GLANCE_S * 1e9)))
        return ""

    def _carried_out(self, order: Order, alive: Callable[[], list[str]]) -> tuple[Cut, ServerCounters | None]:
        """Have it measured; why its window was ended early, if it was, and what the server counted in it."""
        endpoint = order.item.endpoint
        self._heard, self._progress, self._awaited = {}, {}, set(order.workers)
        self._reported.clear()
        self._tell(order)
        ports = next((server.ports for server in self._steps.plan.servers if server.engine == endpoint.engine), {})
        self._rest_until(order.start_ns)
        before = counters.read(endpoint, ports)
        cut = self._watch(order)
        counted = counters.difference(before, counters.read(endpoint, ports))
        self._wait(order, alive)
        return cut, counted

    def _rest_until(self, when_ns: int) -> None:
        """Let others run until then (CLOCK_MONOTONIC), until all have reported, or until somebody interrupts."""
        left_s = max(0.0, (when_ns - time.monotonic_ns()) / 1e9)
        gevent.wait([self._interruption, self._reported], timeout=left_s, count=1)

    def _is_over(self) -> bool:
        """Whether the window that is on needs no more waiting."""
        over: bool = self._interruption.is_set() or self._reported.is_set()
        return over

    def _wait(self, order: Order, alive: Callable[[], list[str]]) -> None:
        """Until every load process has reported, is gone, or has had its time."""
        until = time.monotonic() + DRAIN_S + GRACE_S
        while time.monotonic() < until:
            missing = set(order.workers) - self._heard.keys()
            if not missing & set(alive()):
                return
            gevent.sleep(PAUSE_S)
