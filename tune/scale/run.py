"""The run that a curve is measured in: its folder, a sampler, and a `Session` that takes one variant after the other.

Only the load generator is started on the cores of [affinity].load: what a unit starts meanwhile has cores of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from contract.config import ModelsFile
from contract.cores import on_cores
from contract.endpoints import Endpoint, Endpoints
from contract.events import append_event, read_events
from contract.files import write_json
from contract.workspace import Workspace
from loadtest.plan.preparing import prepare
from loadtest.session import Session
from loadtest.showing.view import Onlooker
from loadtest.watching.sampling import Sampler
from tune.configuration.trial_run import TrialRun

NAME = "scale"


@contextmanager
def scale_run(
    config: ModelsFile,
    workspace: Workspace,
    endpoints: Endpoints,
    endpoint: Endpoint,
    allowed_hosts: Sequence[str],
    command: Sequence[str] = (),
    onlooker: Onlooker | None = None,
) -> Iterator[TrialRun]:
    """Make the folder of a run without variants, and keep a load test ready for those to come.

    ``command`` is what was typed; ``onlooker`` is shown how the window goes that is on. Raises UsageError for a host
    that nobody allowed to be loaded.
    """
    chosen = [endpoint]
    plan, results = prepare(
        config, workspace, endpoints, chosen, allowed_hosts=allowed_hosts, asked=NAME, command=command
    )
    plan = plan.model_copy(update={"variants": []})
    write_json(results / "plan.json", plan)
    try:
        with ExitStack() as running:
            with on_cores(config.affinity.load, "affinity.load"):
                running.enter_context(Sampler(plan.servers, results, workspace.servers))
                session = running.enter_context(Session(plan, results, workspace.live, onlooker))
            yield TrialRun(session, results)
    finally:
        for event in read_events(workspace.events, since=plan.started):
            append_event(results / "events.jsonl", event)
