"""Which of the endpoints that are up belong to a group of models.toml: for the commands that work on what is served."""

from __future__ import annotations

from collections.abc import Sequence

from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError


def of_group(chosen: Sequence[Endpoint], config: ModelsFile, group: str | None) -> list[Endpoint]:
    """Those of the chosen endpoints whose model is in the group; all of them where no group is named.

    Raises UsageError for a group that models.toml does not have, and where no endpoint is left.
    """
    if group is None:
        return list(chosen)
    models = config.group(group)
    found = [endpoint for endpoint in chosen if endpoint.model in models]
    if not found:
        raise UsageError(
            f"none of the endpoints {', '.join(item.id for item in chosen)} is of group '{group}', "
            f"which has {', '.join(models)}: leave --group out, or name endpoints of it; where none of them is up, "
            f"'make serve GROUP={group}' serves them"
        )
    return found


def missed_in_group(endpoints: Endpoints, config: ModelsFile, group: str | None) -> Endpoints:
    """What is up, with only those of the exports that are not served whose model is in the group: no others are missed.

    Unchanged where no group is named. Raises UsageError for a group that models.toml does not have.
    """
    if group is None:
        return endpoints
    models = config.group(group)
    unserved = {name: why for name, why in endpoints.unserved.items() if name.split()[0] in models}
    return endpoints.model_copy(update={"unserved": unserved})
