"""What surrounds every run: the load generator's cores, the sampled servers, and what happened to them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.config import ModelsFile
from contract.cores import on_cores
from contract.events import append_event, read_events
from contract.records import Plan
from contract.workspace import Workspace
from loadtest.watching.sampling import Sampler


@contextmanager
def watched(config: ModelsFile, workspace: Workspace, plan: Plan, results: Path) -> Iterator[None]:
    """What is driven in the block is sampled; at its end the events since the plan was made are in ``results``."""
    try:
        with on_cores(config.affinity.load, "affinity.load"), Sampler(plan.servers, results, workspace.servers):
            yield
    finally:
        for event in read_events(workspace.events, since=plan.started):
            append_event(results / "events.jsonl", event)
