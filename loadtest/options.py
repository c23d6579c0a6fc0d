"""What the command lines that put endpoints under load have in common: which endpoints, and what overrides [load]."""

from __future__ import annotations

from collections.abc import Sequence

from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError, nearest
from contract.load import Load


def chosen_endpoints(endpoints: Endpoints, wanted: Sequence[str]) -> list[Endpoint]:
    """The endpoints of these ids, all of them where none is named. Raises UsageError for one that is not up."""
    known = {endpoint.id: endpoint for endpoint in endpoints.endpoints}
    for name in wanted:
        if name not in known:
            raise UsageError(f"no endpoint '{name}' is up{nearest(name, list(known))}; up are: {', '.join(known)}")
    return [endpoint for key, endpoint in known.items() if not wanted or key in wanted]


def overridden(load: Load, max_rps: float | None = None, processes: int | None = None) -> Load:
    """[load] with what the command line says instead. Raises UsageError for what is no rate or no number."""
    if max_rps is not None and max_rps <= 0:
        raise UsageError(f"--max-rps is {max_rps:g}; it is a rate above 0")
    if processes is not None and processes < 1:
        raise UsageError(f"--processes is {processes}; it is a number of processes, 1 at least")
    said = {"max_rps": max_rps, "processes": processes}
    return load.model_copy(update={name: value for name, value in said.items() if value is not None})
