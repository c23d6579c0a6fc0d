"""Which models Triton holds while a variant is under load, where it holds one model at a time (explicit control)."""

from __future__ import annotations

from contract.endpoints import Endpoints
from contract.progress import say
from contract.triton_control import TritonControl


class Residency:
    """Loads the formats of a model when one of its variants comes up, and unloads those of the model before."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._resident: str | None = None

    def make_room_for(self, model: str) -> None:
        """Let Triton hold exactly the formats of ``model``. Raises ServerError with the server's own words."""
        if not self._endpoints.one_at_a_time or model == self._resident:
            return
        self.close()
        say(f"loading {model} on Triton")
        for name, address in self._served(model):
            TritonControl(address).load(name)
        self._resident = model

    def close(self) -> None:
        """Unload what is loaded."""
        for name, address in self._served(self._resident) if self._resident else ():
            TritonControl(address).unload(name)
        self._resident = None

    def _served(self, model: str) -> list[tuple[str, str]]:
        """(served name, HTTP address) of every format of a model on Triton, once each."""
        found = {
            item.served_name: item.address
            for item in self._endpoints.endpoints
            if item.model == model and item.engine == "triton" and item.protocol == "http"
        }
        return sorted(found.items())
