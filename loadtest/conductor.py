"""Goes through the plan: which stage is next, what the load processes are told, what came of it. Runs in the master.

The order of a run: in each round every variant goes through its stages, so that whatever drifts hits all alike. A
stage that the machine spoiled is measured again. What a load process does not report in time, it was lost for: the
stage says so and is not valid; nothing waits for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gevent

from contract.endpoints import Endpoint
from contract.errors import ServerError
from contract.files import write_json
from contract.records import Observation, Plan, ServerCounters, Stage, StageObservation
from contract.trust import MOST_LATE_SHARE, STEADY_WITHIN, spread
from loadtest.orders import Done, Order, clock
from loadtest.punctual import sleep_until
from loadtest.watching import counters
from loadtest.worker import DRAIN_S, PAUSE_S

logger = logging.getLogger(__name__)
LEAD_S = 0.05  # between an order and its begin, so that every load process has it
GRACE_S = 10.0  # after window and drain, for the report of a load process that is busy writing


@dataclass(frozen=True)
class Step:
    """One stage of one variant in one round."""

    round: int
    variant: int
    stage: int


def steps(plan: Plan) -> Iterator[Step]:
    """Every step of a run, in order."""
    for turn in range(1, plan.rounds + 1):
        for variant, item in enumerate(plan.variants):
            for stage in range(len(item.stages)):
                yield Step(turn, variant, stage)


def trusted(stage: Stage, done: list[Done]) -> bool:
    """Whether the machine let the stage be what it was meant to be: on time (open loop), steady (closed loop)."""
    if stage.mode == "open":
        return sum(item.late for item in done) <= MOST_LATE_SHARE * sum(item.due for item in done)
    return spread([sum(part) for part in zip(*(item.good for item in done), strict=True)]) <= STEADY_WITHIN


class Conductor:
    """One run. ``tell`` sends an order to every load process; their reports come back through `hear`."""

    def __init__(
        self,
        plan: Plan,
        results: Path,
        tell: Callable[[Order], None],
        prepare: Callable[[Endpoint], None] = lambda _: None,
        note: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._results = results
        self._tell = tell
        self._prepare = prepare
        self._note = note
        self._steps = steps(plan)
        self._again: Step | None = None
        self._unready: set[tuple[int, int]] = set()  # (round, variant) whose server could not be made ready
        self._attempt = 0
        self._number = 0
        self._heard: dict[str, Done] = {}
        self._seen: dict[int, list[StageObservation]] = {}
        self._best: dict[int, float] = {}  # by variant: the most answers per second of a closed stage

    def next(self) -> Step | None:
        """What comes next; None at the end."""
        again, self._again = self._again, None
        if again is not None:
            return again
        self._attempt = 0
        return next((step for step in self._steps if (step.round, step.variant) not in self._unready), None)

    def stage(self, step: Step) -> Stage:
        """The step's stage in the plan."""
        return self._plan.variants[step.variant].stages[step.stage]

    def hear(self, done: Done) -> None:
        """Take a load process' report; one of an older order comes too late."""
        if done.number == self._number:
            self._heard[done.worker] = done

    def measure(self, step: Step, workers: list[str], alive: Callable[[], list[str]], missing_users: int = 0) -> None:
        """Carry out one step with these load processes and write down what came of it.

        ``missing_users`` of a closed loop could not be started: it was not measured at its concurrency.
        """
        variant, stage = self._plan.variants[step.variant], self.stage(step)
        endpoint = variant.endpoint
        self._note(step)
        try:
            self._prepare(endpoint)
        except ServerError as error:  # the other variants may be well: this one is left out for this round
            logger.error("%s was not measured in round %d: %s", variant.id, step.round, error)
            self._unready.add((step.round, step.variant))
            return
        order = self._order(step, stage, workers)
        self._heard = {}
        self._tell(order)
        ports = next((server.ports for server in self._plan.servers if server.engine == endpoint.engine), {})
        sleep_until(order.start_ns)
        before = counters.read(endpoint, ports)
        sleep_until(order.end_ns)
        counted = counters.difference(before, counters.read(endpoint, ports))
        self._wait(order, alive)
        self._attempt += 1
        self._write_down(step, order, counted, missing_users)
        done = list(self._heard.values())
        spoiled = bool(done) and not trusted(stage, done) and not any(item.aborted for item in done)
        if spoiled and self._attempt < self._plan.attempts:
            self._again = step

    def finish(self) -> None:
        """Write every variant's observation as far as it got."""
        for variant in self._seen:
            self._write(variant)

    def _order(self, step: Step, stage: Stage, workers: list[str]) -> Order:
        self._number += 1
        told = time.monotonic_ns()
        begin = told + int(LEAD_S * 1e9)
        start = begin + int(stage.warmup_s * 1e9)
        order = Order(
            number=self._number,
            round=step.round,
            variant=step.variant,
            stage=step.stage,
            rate=stage.rate,
            begin_ns=begin,
            start_ns=start,
            end_ns=start + int(stage.duration_s * 1e9),
            workers=workers,
            clock=clock(),
            told_ns=told,
        )
        share = getattr(stage.shape, "of_maximum", None)
        if share is None:
            return order
        # Nothing was answered in the closed stages: one request per second shows that it still is so.
        rate = max(1.0, share * self._best.get(step.variant, 0.0))
        return replace(order, rate=min(rate, self._plan.max_rps or rate))

    def _wait(self, order: Order, alive: Callable[[], list[str]]) -> None:
        """Until every load process has reported, is gone, or has had its time."""
        until = time.monotonic() + DRAIN_S + GRACE_S
        while time.monotonic() < until:
            missing = set(order.workers) - self._heard.keys()
            if not missing & set(alive()):
                return
            gevent.sleep(PAUSE_S)

    def _write_down(self, step: Step, order: Order, counted: ServerCounters | None, missing_users: int) -> None:
        done = [self._heard[name] for name in order.workers if name in self._heard]
        if self.stage(step).mode == "closed":
            rate = sum(sum(item.good) for item in done) / self.stage(step).duration_s
            self._best[step.variant] = max(rate, self._best.get(step.variant, 0.0))
        lost = [name for name in order.workers if name not in self._heard]
        lost += [f"{missing_users} users"] if missing_users else []
        self._seen.setdefault(step.variant, []).append(
            StageObservation(
                stage=step.stage,
                round=step.round,
                attempt=self._attempt,
                rate=order.rate,
                workers=len(order.workers),
                lost=lost,
                aborted=any(item.aborted for item in done),
                window_start_ns=order.start_ns,
                window_end_ns=order.end_ns,
                client_cpu=max((item.cpu for item in done), default=0.0),
                server=counted,
            )
        )
        self._write(step.variant)

    def _write(self, variant: int) -> None:
        item, seen = self._plan.variants[variant], self._seen[variant]
        measured = {(one.round, one.stage) for one in seen}
        complete = len(measured) == self._plan.rounds * len(item.stages)
        observation = Observation(schema_version=1, variant=item.id, complete=complete, stages=seen)
        write_json(self._results / f"server-stats-{item.id}.json", observation)
