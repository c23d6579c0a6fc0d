"""Where a run's steps come from: its plan, stage by stage, or a `Session` that asks for them one at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from contract.errors import ServerError
from contract.records import Plan, Stage, VariantPlan
from loadtest.master.asking import Measured

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One stage of one variant in one round."""

    round: int
    variant: int
    stage: int
    attempt: int = 1
    draw: int = 0  # steps of one draw get the same arrivals and payloads
    early: bool = False  # it may be ended early


class Steps(Protocol):
    """What the conductor goes through."""

    @property
    def plan(self) -> Plan:
        """The plan as it is now."""

    def next(self) -> Step | None:
        """What comes next; None at the end."""

    def ended(self, step: Step, measured: Measured, spoiled: bool) -> None:
        """A step was measured; ``spoiled`` when the machine did not let it be what it was meant to be."""

    def refused(self, step: Step, error: ServerError) -> None:
        """The server of a step could not be made ready: it was not measured."""


def subject(plan: Plan, step: Step) -> tuple[VariantPlan, Stage]:
    """What a step is about."""
    variant = plan.variants[step.variant]
    return variant, variant.stages[step.stage]


def in_order(plan: Plan) -> Iterator[Step]:
    """Every step of a plan: in each round every variant goes through its stages, so that drift hits all alike."""
    for turn in range(1, plan.rounds + 1):
        for variant, item in enumerate(plan.variants):
            for stage in range(len(item.stages)):
                yield Step(turn, variant, stage)


class Planned:
    """The steps of a plan. What the machine spoiled is measured again, at most ``plan.attempts`` times."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._steps = in_order(plan)
        self._again: Step | None = None
        self._unready: set[tuple[int, int]] = set()  # (round, variant) whose server could not be made ready

    def next(self) -> Step | None:
        again, self._again = self._again, None
        if again is not None:
            return again
        return next((step for step in self._steps if (step.round, step.variant) not in self._unready), None)

    def ended(self, step: Step, measured: Measured, spoiled: bool) -> None:
        if spoiled and step.attempt < self.plan.attempts:
            self._again = replace(step, attempt=step.attempt + 1)

    def refused(self, step: Step, error: ServerError) -> None:
        """The other variants may be well: this one is left out for this round."""
        logger.error("%s was not measured in round %d: %s", self.plan.variants[step.variant].id, step.round, error)
        self._unready.add((step.round, step.variant))
