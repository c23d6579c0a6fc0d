"""The processes of Triton's python-based models.

A Triton of release 24.10 calls a model ready whose Python process is dead and refuses its requests for ever, so these
processes are looked for among the server's children.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from contract.endpoints import ServerRecord
from serving.places.processes import find, runs

STUB = "triton_python_backend_stub"


def model_processes(server: ServerRecord) -> dict[int, tuple[str, int]]:
    """pid -> (served name, version) of Triton's Python stubs, whose command lines name the file of their model."""
    process = find(server.pid, server.pid_started)
    found: dict[int, tuple[str, int]] = {}
    for child in process.children() if process else []:
        try:
            words = child.cmdline()
            running = runs(child)
        except psutil.Error:
            continue
        if running and len(words) > 1 and words[0].endswith(STUB):
            model, version = Path(words[1]).parts[-3:-1]
            found[child.pid] = (model, int(version))
    return found
