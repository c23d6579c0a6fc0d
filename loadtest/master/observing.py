"""What the load processes report of a stage, in one: for server-stats-<variant>.json, and for who asked for it."""

from __future__ import annotations

from pathlib import Path

from contract.files import write_json
from contract.records import Observation, Plan, ServerCounters, StageObservation
from loadtest.master.asking import Cut, Measured
from loadtest.process.orders import Done, Order


def observation(
    order: Order,
    attempt: int,
    done: list[Done],
    lost: list[str],
    counted: ServerCounters | None,
    interrupted: bool = False,
) -> StageObservation:
    """The stage as it really ran: its window is over when the last load process has ended it.

    Of a run that was ``interrupted`` it may have ended before its time.
    """
    ends_ns = {item.index: item.end_ns for item in done}
    ended_ns = max((item.end_ns for item in done), default=order.end_ns)
    return StageObservation(
        stage=order.stage,
        round=order.round,
        attempt=attempt,
        rate=order.rate,
        workers=len(order.workers),
        elsewhere=sum(item.elsewhere for item in done),
        held=sum(item.held for item in done),
        reopened=sum(item.reopened for item in done),
        lost=lost,
        aborted=any(item.aborted for item in done),
        window_start_ns=order.start_ns,
        interrupted=interrupted and ended_ns < order.end_ns,
        window_end_ns=ended_ns,
        worker_ends_ns=ends_ns if len(set(ends_ns.values())) > 1 else {},
        client_cpu=max((item.cpu for item in done), default=0.0),
        server=counted,
    )


def figures(seen: StageObservation, done: list[Done], cut: Cut, seconds: float) -> Measured:
    """The counts of all load processes together; ``seconds`` is what the step took."""
    window_s = (seen.window_end_ns - seen.window_start_ns) / 1e9
    good = sum(sum(item.good) for item in done)
    names = sorted({name for item in done for name in item.over})
    return Measured(
        stage=seen.stage,
        due=sum(item.due for item in done),
        failed=sum(item.failed for item in done),
        over={name: sum(item.over.get(name, 0) for item in done) for name in names},
        late=sum(item.late for item in done),
        good=good,
        answered_rps=good / window_s if window_s and not seen.aborted else 0.0,  # what fails shows no maximum
        client_cpu=seen.client_cpu,
        lost=seen.lost,
        aborted=seen.aborted,
        cut=cut,
        window_s=window_s,
        seconds=seconds,
    )


class Observed:
    """The stages that were measured; a variant's file is written again after each of its stages."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._seen: dict[int, list[StageObservation]] = {}
        self._complete: set[int] = set()  # by what their files say

    def begin(self, plan: Plan, variant: int) -> None:
        """One more stage of a variant is on: its file must not say any longer that all of them were measured."""
        if variant in self._complete and not self._all(plan, variant):
            self._write(plan, variant)

    def add(self, plan: Plan, variant: int, seen: StageObservation) -> None:
        """One more stage of the plan's variant was measured."""
        self._seen.setdefault(variant, []).append(seen)
        self._write(plan, variant)

    def write(self, plan: Plan) -> None:
        """Write every variant's observation as far as it got."""
        for variant in self._seen:
            self._write(plan, variant)

    def _all(self, plan: Plan, variant: int) -> bool:
        """Whether every stage that the plan has by now was measured in every round."""
        measured = {(one.round, one.stage) for one in self._seen[variant] if not one.interrupted}
        return len(measured) == plan.rounds * len(plan.variants[variant].stages)

    def _write(self, plan: Plan, variant: int) -> None:
        name, complete = plan.variants[variant].id, self._all(plan, variant)
        (self._complete.add if complete else self._complete.discard)(variant)
        observation = Observation(schema_version=1, variant=name, complete=complete, stages=self._seen[variant])
        write_json(self._results / f"server-stats-{name}.json", observation)
