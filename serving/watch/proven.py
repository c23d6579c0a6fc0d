"""What was proven to be served here, read anew each time: whoever rolls or configures a model writes it again."""

from __future__ import annotations

from contract.endpoints import Endpoint, Endpoints
from contract.files import read_model
from contract.workspace import Workspace


class Proven:
    """live/endpoints.json of one workspace; nothing is proven where there is none."""

    def __init__(self, workspace: Workspace) -> None:
        self._file = workspace.endpoints

    def endpoints(self, engine: str, models: list[str] | None = None) -> list[Endpoint]:
        """Those of an engine: of some models by their served names, or of all."""
        known = self._known().endpoints if self._file.is_file() else []
        return [item for item in known if item.engine == engine and (models is None or item.served_name in models)]

    def versions(self, engine: str) -> set[tuple[str, int]]:
        """(served name, version) of what an engine serves."""
        return {(item.served_name, item.version) for item in self.endpoints(engine)}

    def names(self, engine: str) -> set[str]:
        """The served names of an engine's models."""
        return {item.served_name for item in self.endpoints(engine)}

    @property
    def one_at_a_time(self) -> bool:
        """Whether Triton holds the formats of one model at a time, and none of them where nobody measures."""
        return self._file.is_file() and self._known().one_at_a_time

    def _known(self) -> Endpoints:
        return read_model(self._file, Endpoints, "make serve")
