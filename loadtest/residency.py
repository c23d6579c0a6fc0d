"""Which models Triton holds while a variant is under load, where it holds one model at a time (explicit control)."""

from __future__ import annotations

import http.client
import json

from contract.endpoints import Endpoints
from contract.errors import ServerError
from contract.progress import say

LOAD_S = 180.0


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
            _post(address, f"/v2/repository/models/{name}/load")
        self._resident = model

    def close(self) -> None:
        """Unload what is loaded."""
        for name, address in self._served(self._resident) if self._resident else ():
            _post(address, f"/v2/repository/models/{name}/unload")
        self._resident = None

    def _served(self, model: str) -> list[tuple[str, str]]:
        """(served name, HTTP address) of every format of a model on Triton, once each."""
        found = {
            item.served_name: item.address
            for item in self._endpoints.endpoints
            if item.model == model and item.engine == "triton" and item.protocol == "http"
        }
        return sorted(found.items())


def _post(address: str, path: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=LOAD_S)
    try:
        connection.request("POST", path, body=b"{}")
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"Triton at {address} did not answer {path}: {error}; see 'make status'") from None
    finally:
        connection.close()
    if response.status != 200:
        try:
            text = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            text = text or f"HTTP {response.status}"
        raise ServerError(f"Triton refused {path}: {text.strip()}")
