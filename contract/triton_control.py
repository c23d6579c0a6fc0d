"""Triton's control API over HTTP: what it is, what it holds, load, unload.

The protocol is KServe's v2 with Triton's model-repository extension.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from contract.errors import ServerError

# TensorRT builds its engines while a model loads, for minutes. A server that dies meanwhile closes the connection: only
# one that hangs is waited for so long.
LOAD_S = 900.0
UNLOAD_S = 60.0
LIVE_S = 5.0


class TritonControl:
    """One Triton by its HTTP address, host:port. Every method raises ServerError with the server's own words."""

    def __init__(self, address: str) -> None:
        self._address = address

    def version(self) -> str:
        """The version that the server states in its metadata."""
        return str(self._call("GET", "/v2")["version"])

    def load(self, name: str, timeout_s: float = LOAD_S) -> float:
        """Load a model (its newest version, where another is loaded); the seconds until it was ready."""
        started = time.monotonic()
        self._call("POST", f"/v2/repository/models/{name}/load", timeout_s)
        self._call("GET", f"/v2/models/{name}/ready")
        return time.monotonic() - started

    def unload(self, name: str, timeout_s: float = UNLOAD_S) -> None:
        """Unload a model and wait until the server says so; its processes may outlive that by a moment."""
        self._call("POST", f"/v2/repository/models/{name}/unload", timeout_s)
        deadline = time.monotonic() + timeout_s
        while self.ready(name):
            if time.monotonic() > deadline:
                raise ServerError(f"Triton still holds {name} {timeout_s:.0f} s after it was told to unload it")
            time.sleep(0.05)

    def ready(self, name: str, version: int | None = None) -> bool:
        """Whether a model (or one version of it) is ready by the server's own account."""
        path = f"/v2/models/{name}" + (f"/versions/{version}" if version is not None else "")
        try:
            self._call("GET", f"{path}/ready")
        except ServerError:
            return False
        return True

    def live(self) -> bool:
        """Whether the server answers at all; one that ends gently stops answering before it lets its models go."""
        try:
            self._call("GET", "/v2/health/live", LIVE_S)
        except ServerError:
            return False
        return True

    def instances(self, name: str) -> int:
        """How many there are of a loaded model, by the server's own account; a count is meant for each GPU."""
        groups = self._call("GET", f"/v2/models/{name}/config").get("instance_group", [])
        return sum(int(group["count"]) * max(1, len(group.get("gpus", []))) for group in groups)

    def runs_python(self, name: str) -> bool:
        """Whether a loaded model runs on a python-based backend; a native one is a shared library."""
        runtime = str(self._call("GET", f"/v2/models/{name}/config").get("runtime", ""))
        return runtime.endswith(".py") or "triton_python" in runtime

    def _call(self, method: str, path: str, timeout_s: float = 30.0) -> dict[str, Any]:
        where = f"Triton at {self._address}"
        connection = http.client.HTTPConnection(self._address, timeout=timeout_s)
        try:
            connection.request(method, path, body=b"{}" if method == "POST" else None)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{where} did not answer {method} {path}: {error}; see 'make status'") from None
        finally:
            connection.close()
        if response.status != 200:
            try:
                message = json.loads(text)["error"]
            except (ValueError, KeyError, TypeError):
                message = text or f"HTTP {response.status}"
            raise ServerError(f"{where} refused {method} {path}: {message.strip()}")
        return dict(json.loads(text)) if text else {}
