"""Which of the endpoints that are up belong to a group of models.toml: for the commands that work on what is served."""

from __future__ import annotations

from collections.abc import Sequence

from contract.config import ModelsFile
from contract.endpoints import Endpoint
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
            f"which has {', '.join(models)}: leave --group out, or run 'make serve GROUP={group}' first"
        )
    return found
