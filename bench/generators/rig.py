"""What every load generator is given, and how it is run to its end."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.generators.question import Question
from bench.peers.running import ROOT
from contract.errors import ServerError

PATIENCE_S = 90.0  # beyond the window, for a generator to start and to end


@dataclass(frozen=True)
class Rig:
    """What a contender needs: the question and its file, a workspace with what is up, the length of a window."""

    question: Question
    file: Path
    workspace: Path
    window_s: float
    perf_analyzer: Path | None


def output_of(command: list[str], rig: Rig, environment: dict[str, str] | None = None) -> str:
    """Run a generator to its end. Raises ServerError with its last words."""
    variables = {**os.environ, "QUESTION": str(rig.file), "PYTHONPATH": str(ROOT), **(environment or {})}
    limit = rig.window_s + PATIENCE_S
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"{command[0]} did not end within {limit:.0f} s") from None
    if ended.returncode != 0:
        raise ServerError(
            f"{Path(command[0]).name} ended with {ended.returncode}: {(ended.stderr or ended.stdout)[-500:]}"
        )
    return ended.stdout
