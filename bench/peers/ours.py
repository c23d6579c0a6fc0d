"""Our own servers under a guard: what `python -m serving up` starts is stopped whatever happens to the benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.peers.running import ROOT, Running
from contract.endpoints import Servers
from contract.files import read_model
from contract.workspace import Workspace


def serving(name: str, workspace: Workspace, log: Path) -> Running:
    """Told to start with the workspace's models; its end is `python -m serving stop`."""
    words = ["--workspace", str(workspace.root)]
    config = ["--config", str(workspace.root / "models.toml")]
    workspace.endpoints.unlink(missing_ok=True)
    command, stop = ([sys.executable, "-m", "serving", verb] for verb in ("up", "stop"))
    return Running(name, [*command, *config, *words], {}, ROOT, log, stop=[*stop, *words])


def not_up(workspace: Workspace) -> str:
    """Why the command has not done all of it; its last act is to have the servers watched."""
    if not workspace.endpoints.is_file():
        return "it has no endpoint yet"
    watched = read_model(workspace.servers, Servers, "make serve").supervisor is not None
    return "" if watched else "nobody watches it yet"
