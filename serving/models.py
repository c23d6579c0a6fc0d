"""Explicit model control of the running Triton: load, unload, reload one served model."""

from __future__ import annotations

from contract.endpoints import Endpoint, Endpoints, ServerRecord
from contract.errors import ParityError, ServerError, UsageError, nearest
from contract.files import read_model
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving import fleet
from serving.ports import host_port
from serving.rechecking import recheck


def load(name: str, workspace: Workspace) -> str:
    """Load a model that is laid out and proven, ask it again, and say how long it took."""
    endpoints, control = _find(name, workspace)
    seconds = control.load(name)
    for endpoint in endpoints:
        parity = recheck(endpoint, workspace)
        if not parity.passed:
            control.unload(name)
            raise ParityError(f"{endpoint.id} answers wrongly and was unloaded again: {'; '.join(parity.reasons)}")
    return f"{name} version {endpoints[0].version} is loaded and answers rightly, after {seconds:.1f} s"


def unload(name: str, workspace: Workspace) -> str:
    """Unload a model; its endpoints refuse requests until it is loaded again."""
    _, control = _find(name, workspace)
    control.unload(name)
    return f"{name} is unloaded; 'python -m serving load {name}' brings it back"


def reload(name: str, workspace: Workspace) -> str:
    """Unload and load a model, from the files as they are."""
    _, control = _find(name, workspace)
    control.unload(name)
    return load(name, workspace)


def _find(name: str, workspace: Workspace) -> tuple[list[Endpoint], TritonControl]:
    known = read_model(workspace.endpoints, Endpoints, "make serve").endpoints
    endpoints = [item for item in known if item.engine == "triton" and item.served_name == name]
    if not endpoints:
        names = sorted({item.served_name for item in known if item.engine == "triton"})
        raise UsageError(f"Triton serves no '{name}'{nearest(name, names)}; it serves {', '.join(names) or 'nothing'}")
    server: ServerRecord | None = next((item for item in fleet.running(workspace) if item.engine == "triton"), None)
    if server is None:
        raise ServerError("Triton does not run; 'make serve' starts it")
    return endpoints, TritonControl(host_port(server.host, server.ports["http"]))
