"""The real load command in a workspace, and what its records say: answers per second of a closed-loop window."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc

from contract.endpoints import Endpoints
from contract.errors import ServerError
from contract.files import read_model
from contract.records import Observation, read_records
from contract.workspace import Workspace

PLAN = "bench"


def plan(users: int, window_s: float) -> str:
    """The lines of models.toml that add the plan of one closed-loop stage."""
    stage = f'{{ shape = "closed", users = {users}, duration_s = {window_s}, warmup_s = {window_s / 5} }}'
    return f"plans = {{ {PLAN} = {{ stages = [{stage}] }} }}\n"


def load_command(root: Path, protocol: str, run: Callable[[list[str]], str]) -> float:
    """Answers per second of the workspace's endpoint of a protocol. Raises ServerError where a request failed."""
    workspace = Workspace(root)
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve").endpoints
    (variant,) = [item.id for item in endpoints if item.protocol == protocol]
    words = [
        "--workspace",
        str(root),
        "--config",
        str(root / "models.toml"),
        "--plan",
        PLAN,
        "--variant",
        variant,
        "--uncertified",
    ]
    run([sys.executable, "-m", "loadtest", *words])
    results = (workspace.results / "latest").resolve()
    seen = read_model(results / f"server-stats-{variant}.json", Observation, "make loadtest").stages[-1]
    records = read_records(results, variant)
    done, error = records.column("done_ns"), records.column("error").cast("string")
    inside = pc.and_(pc.greater_equal(done, seen.window_start_ns), pc.less(done, seen.window_end_ns))
    answered, failed = (pc.sum(pc.and_(inside, check(error, ""))).as_py() for check in (pc.equal, pc.not_equal))
    if failed or not answered:
        raise ServerError(f"{variant}: {failed} requests failed, {answered} were answered")
    return float(answered) / ((seen.window_end_ns - seen.window_start_ns) / 1e9)
