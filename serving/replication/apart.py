"""python -m serving.replication.apart: start the Launch on stdin as nobody's child, and print its ServerRecord.

Whoever starts a process is its parent, and a load test counts all processes below the command as the load generator's.
This one ends at once and leaves the server to init.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.cli import run
from contract.endpoints import ServerRecord
from contract.errors import ServerError, UsageError
from serving.places import process as place_process
from serving.places.launch import Launch

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> int:
    print(place_process.start(Launch.model_validate_json(sys.stdin.read())).model_dump_json())
    return 0


def start_apart(launch: Launch) -> ServerRecord:
    """Start a Launch as a process of this machine. Raises ServerError where it cannot be started, UsageError."""
    done = subprocess.run(
        [sys.executable, "-m", "serving.replication.apart"],
        input=launch.model_dump_json(),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C must not come between the server and its record
    )
    if done.returncode == 0:
        return ServerRecord.model_validate_json(done.stdout)
    kind = UsageError if done.returncode == UsageError.exit_code else ServerError
    raise kind(done.stderr.strip().removeprefix("error: "))


if __name__ == "__main__":
    run(main)
