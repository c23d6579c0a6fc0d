"""One start of `python -m serving up`: its seconds as a whole and by part, and what is up then."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.running import ROOT
from bench.starting.took import Took, cpu_of, own_mib
from contract.endpoints import Endpoint, Endpoints
from contract.errors import ServerError
from contract.files import read_model
from contract.workspace import Workspace

# The command's lines that begin a part of it.
PARTS = {
    "starting tfserving": "TF Serving starts and loads",
    "starting triton": "Triton starts",
    "load on Triton": "Triton loads",
    "prove": "proofs",
}
BEFORE = "command, repository"
Line = tuple[float, str]  # seconds since the start, what was said


@dataclass(frozen=True)
class Start:
    """One start: as a whole, the command's own CPU seconds, seconds by part; what is up; servers' own memory, MiB."""

    took: Took
    command_cpu_s: float
    parts: dict[str, float]
    endpoints: list[Endpoint]
    server_mib: dict[str, float]


def parts(lines: Sequence[Line], total_s: float) -> dict[str, float]:
    """Seconds of each part: from the line that begins it to the line that begins the next."""
    found: dict[str, float] = {}
    name, since = BEFORE, 0.0
    for at, text in [*lines, (total_s, "")]:
        begun = next((part for mark, part in PARTS.items() if text.startswith(mark)), None)
        if begun != name and (begun or not text):
            found[name] = found.get(name, 0.0) + at - since
            name, since = begun or name, at
    return found


def ours(workspace: Workspace, group: str) -> Start:
    """Start everything, look, stop everything. Raises ServerError with the command's last words."""
    words = ["--workspace", str(workspace.root)]
    config = ["--config", str(workspace.root / "models.toml"), "--group", group]
    lines: list[Line] = []
    try:
        before, started = _children_cpu_s(), time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "serving", "up", *config, *words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr
            lines += [(time.monotonic() - started, line) for line in process.stderr]
        total_s = time.monotonic() - started
        if process.returncode != 0:
            last = "".join(text for _, text in lines[-5:])
            raise ServerError(f"python -m serving up ended with {process.returncode}: {last}")
        command_cpu_s = _children_cpu_s() - before
        known = read_model(workspace.endpoints, Endpoints, "make serve")
        pids = {server.engine: server.pid for server in known.servers if server.pid}
        memory: dict[str, float] = {engine: own_mib(pid) for engine, pid in pids.items()}
        took = Took(total_s, command_cpu_s + sum(map(cpu_of, pids.values())))
        return Start(took, command_cpu_s, parts(lines, total_s), known.endpoints, memory)
    finally:
        subprocess.run([sys.executable, "-m", "serving", "stop", *words], cwd=ROOT, capture_output=True, check=True)


def _children_cpu_s() -> float:
    """Of the children that have ended; the servers, which go on, are not among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
