"""Where a run's load came from: of load processes that join the plan cannot know it, but what they reported tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contract.files import read_model
from contract.records import Observation, Plan


@dataclass(frozen=True)
class Origin:
    """Whether any load came from the machine that the run was started on, and whether any from another one."""

    here: bool = True
    elsewhere: bool = False


def origin(results: Path, plan: Plan) -> Origin:
    """By the load processes of all stages. Older results do not tell: who joined is taken to have been elsewhere."""
    if plan.processes:
        return Origin()
    files = [results / f"server-stats-{item.id}.json" for item in plan.variants]
    stages = [
        stage for file in files if file.is_file() for stage in read_model(file, Observation, "make loadtest").stages
    ]
    return Origin(
        here=not stages or any(stage.elsewhere is None or stage.elsewhere < stage.workers for stage in stages),
        elsewhere=any(stage.elsewhere is None or stage.elsewhere > 0 for stage in stages),
    )


def as_it_ran(plan: Plan, origin: Origin) -> Plan:
    """The plan, but that servers and load share no cores where no load came from the servers' machine."""
    return plan.model_copy(update={"same_machine": plan.same_machine and origin.here})
