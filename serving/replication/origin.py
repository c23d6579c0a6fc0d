"""The running server that replicas are made after: which it is, how it was started, what one more of it takes."""

from __future__ import annotations

import psutil

from contract.endpoints import Endpoint, ServerRecord
from contract.errors import ServerError, UsageError
from contract.files import read_model
from contract.workspace import Workspace
from serving import fleet
from serving.places.launch import Launch
from serving.places.starting import launch_file

MIB = 2**20


def server_of(endpoint: Endpoint, workspace: Workspace) -> ServerRecord:
    """The server behind an endpoint. Raises UsageError where it is none of which this machine can start more."""
    server = next((found for found in fleet.running(workspace) if found.engine == endpoint.engine), None)
    if server is None or server.place != "process":
        where = f"by {endpoint.engine} ({server.place if server else 'not running'})"
        raise UsageError(
            f"{endpoint.id} is served {where}: replicas on this machine are further processes of a server that "
            "'make serve' started as one; those of a cluster are scaled with --deployment NAMESPACE/NAME"
        )
    return server


def launch_of(endpoint: Endpoint, workspace: Workspace) -> Launch:
    """How that server was started."""
    return read_model(launch_file(workspace, endpoint.engine), Launch, "make serve")


def replica_mib(endpoint: Endpoint, server: ServerRecord) -> float:
    """Memory that one more of a server takes, MiB: its own pages, and its instances of the model.

    A server that holds other models in its own process counts with them, so it is too much rather than too little.
    """
    try:
        own = psutil.Process(server.pid).memory_full_info().uss / MIB
    except psutil.Error as error:
        raise ServerError(f"the memory of {endpoint.engine} (pid {server.pid}) cannot be read: {error}") from None
    return float(own) + (endpoint.instance_mib or 0.0) * (endpoint.configuration.instances or 1)
