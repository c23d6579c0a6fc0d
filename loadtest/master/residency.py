"""Which models Triton holds while a variant is under load: all, one model's formats, or the variant's alone."""

from __future__ import annotations

from contract.endpoints import Endpoint, Endpoints
from contract.progress import say
from contract.triton_control import TritonControl


class Residency:
    """Loads what a variant needs and unloads the rest, as far as the run wants that.

    Triton holds one model at a time where not all fit (``endpoints.one_at_a_time``); with ``isolate`` it holds the
    variant under test and nothing else. Otherwise nothing is touched.
    """

    def __init__(self, endpoints: Endpoints, isolate: bool = False) -> None:
        self._endpoints = endpoints
        self._isolate = isolate
        everything = set() if endpoints.one_at_a_time else set(self._served())
        self._before = everything
        self._resident = everything

    def make_room_for(self, endpoint: Endpoint) -> None:
        """Let Triton hold what it must. Raises ServerError with the server's own words."""
        if self._isolate:
            self._hold({endpoint.served_name} if endpoint.engine == "triton" else set())
        elif self._endpoints.one_at_a_time:
            self._hold(set(self._served(endpoint.model)))

    def close(self) -> None:
        """Leave Triton as it was."""
        self._hold(self._before)

    def _hold(self, wanted: set[str]) -> None:
        addresses = self._served()
        for name in sorted(self._resident - wanted):
            TritonControl(addresses[name]).unload(name)
            self._resident = self._resident - {name}
        for name in sorted(wanted - self._resident):
            say(f"loading {name} on Triton")
            TritonControl(addresses[name]).load(name)
            self._resident = self._resident | {name}

    def _served(self, model: str | None = None) -> dict[str, str]:
        """Served name -> HTTP address of every format on Triton, or of one model's."""
        return {
            item.served_name: item.address
            for item in self._endpoints.endpoints
            if item.engine == "triton" and item.protocol == "http" and (model is None or item.model == model)
        }
