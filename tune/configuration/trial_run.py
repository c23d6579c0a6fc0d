"""The run that trials are measured in: its folder, and a `Session` that takes one variant after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError, nearest
from contract.files import write_json
from contract.workspace import Workspace
from loadtest.plan.preparing import prepare
from loadtest.session import Session
from loadtest.showing.view import Onlooker
from loadtest.watching.around import watched


@dataclass(frozen=True)
class TrialRun:
    """What a command that tries configurations works with."""

    session: Session
    results: Path


@contextmanager
def trial_run(
    config: ModelsFile,
    workspace: Workspace,
    endpoints: Endpoints,
    chosen: list[Endpoint],
    name: str,
    command: Sequence[str] = (),
    onlooker: Onlooker | None = None,
) -> Iterator[TrialRun]:
    """Make the folder of a run without variants, and keep a load test and a sampler ready for those to come.

    ``command`` is what was typed; ``onlooker`` is shown how the window goes that is on.
    """
    plan, results = prepare(config, workspace, endpoints, chosen, asked=name, command=command)
    plan = plan.model_copy(update={"variants": []})
    write_json(results / "plan.json", plan)
    with watched(config, workspace, plan, results), Session(plan, results, workspace.live, onlooker) as session:
        yield TrialRun(session, results)


def choose(endpoints: Endpoints, names: list[str]) -> list[Endpoint]:
    """The endpoints that are named: by id, or all formats that Triton serves of a model, over one protocol each.

    Protocols of one format share a model on the server, so one of them stands for all.
    """
    found: dict[str, Endpoint] = {}
    for name in names:
        formats: dict[str, Endpoint] = {}
        for endpoint in endpoints.endpoints:
            if endpoint.id == name:
                formats = {name: endpoint}
                break
            if endpoint.model == name and endpoint.engine == "triton":
                formats.setdefault(endpoint.format, endpoint)
        if not formats:
            known = [endpoint.id for endpoint in endpoints.endpoints]
            models = sorted({endpoint.model for endpoint in endpoints.endpoints})
            raise UsageError(
                f"no endpoint and no model on Triton is called '{name}'{nearest(name, [*models, *known])}; "
                f"up are: {', '.join(known)}"
            )
        found |= {endpoint.id: endpoint for endpoint in formats.values()}
    return list(found.values())
