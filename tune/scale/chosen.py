"""Which endpoint is scaled: the one that a person names, else the one that the newest report recommends."""

from __future__ import annotations

from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.files import read_model
from contract.progress import say
from contract.recommendation import Recommendation
from contract.workspace import Workspace
from tune.configuration.trial_run import choose

FILE = "recommendation.json"


def chosen(name: str, endpoints: Endpoints, workspace: Workspace) -> Endpoint:
    """The endpoint ``name`` (or the only format of a model of that name); where it is empty, the recommended one.

    Raises UsageError where none or several are meant.
    """
    if not name:
        return _recommended(endpoints, workspace)
    found = choose(endpoints, [name])
    if len(found) > 1:
        raise UsageError(f"several endpoints are meant; name one of {', '.join(item.id for item in found)}")
    return found[0]


def _recommended(endpoints: Endpoints, workspace: Workspace) -> Endpoint:
    up = {item.id: item for item in endpoints.endpoints}
    file = workspace.reports / "latest" / FILE
    if not file.is_file():
        raise UsageError(f"say what to scale, one of {', '.join(up)}; or run 'make slo' first, which recommends one")
    models = read_model(file, Recommendation, "make slo").models
    wanted = [item.variant for item in models.values() if item.variant in up]
    if len(wanted) != 1:
        known = f"recommends {', '.join(wanted)} of those" if wanted else "recommends none of those"
        raise UsageError(f"say what to scale, one of {', '.join(up)}; the newest report {known} that are up")
    say(f"scaling {wanted[0]}, which the newest report recommends")
    return up[wanted[0]]
