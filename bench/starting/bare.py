"""Starts without anything of ours around them: Triton with nothing to load, a framework that opens one file."""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from bench.hop.floor import Floor
from bench.preparing import one_row
from bench.starting.took import Took, cpu_of
from contract.endpoints import Endpoint
from contract.errors import ServerError
from contract.manifest import Manifest
from contract.workspace import Workspace
from serving.engines import triton
from serving.layout.triton_config import BACKENDS
from serving.places import process as place_process

READY_S = 60.0
POLL_S = 0.005


def bare_triton(root: Path) -> Took:
    """From tritonserver's start to its /v2/health/ready, with an empty repository in a workspace of its own."""
    workspace = Workspace(root)
    workspace.triton_repository.mkdir(parents=True, exist_ok=True)
    launch = triton.launch(workspace, "process", triton.WHEEL_RELEASE)
    started = time.monotonic()
    server = place_process.start(launch)
    try:
        while not _answers(launch.host, launch.ports[launch.ready_port], launch.ready):
            if not place_process.alive(server) or time.monotonic() - started > READY_S:
                raise ServerError(f"tritonserver alone was not ready:\n{place_process.last_lines(server)}")
            time.sleep(POLL_S)
        assert server.pid
        return Took(time.monotonic() - started, cpu_of(server.pid))
    finally:
        place_process.stop(server)


def bare_open(endpoint: Endpoint, made: tuple[Path, Manifest], root: Path) -> Took:
    """From the start of a Python process until the framework has opened the file and answered one request."""
    directory, manifest = made
    asked = root / f"{endpoint.model}.npz"
    np.savez(asked, **one_row(directory).inputs)
    file = directory / str(manifest.formats[endpoint.format].path)
    backend = BACKENDS[endpoint.format].backend
    started = time.monotonic()
    with closing(Floor(backend, file, asked, [spec.name for spec in manifest.outputs])) as floor:
        floor.open()
        return Took(time.monotonic() - started, cpu_of(floor.pid))


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
