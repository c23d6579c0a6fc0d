"""python -m serving.supervise: watch the servers of a workspace until they are stopped. Started by 'make serve'."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from contract.cli import Parser, run, workspace_of
from contract.endpoints import Servers
from contract.endpoints import Supervisor as SupervisorRecord
from contract.errors import LoadproofError
from contract.files import read_model, write_json
from contract.workspace import Workspace
from serving.places.processes import find, runs
from serving.watch.supervision import Supervisor

MOST_RESTARTS = 3
INTERVAL_S = 1.0
STOP_S = 30.0  # a restart that has begun is finished first, so that nothing is left that nobody knows
ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m serving.supervise", description="Watch servers, and bring back what dies.")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which live/ is")
    parser.add_argument("--restarts", type=int, default=MOST_RESTARTS, help="most restarts of a server or a model")
    options = parser.parse_args(arguments)
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):  # after, and not within, what is being done
        signal.signal(name, lambda number, frame: stopping.set())
    _watch(workspace_of(options), options.restarts, stopping)
    return 0


def _watch(workspace: Workspace, restarts: int, stopping: threading.Event) -> None:
    supervisor = Supervisor(workspace, restarts, _log)
    while not stopping.wait(INTERVAL_S):
        try:
            if not workspace.servers.is_file() or not supervisor.look():
                _log("nothing is left to watch")
                return
        except LoadproofError as error:  # a file that is being replaced, a server that is being asked: look again
            _log(str(error))
        except Exception as error:  # a process that went while it was looked at, a full disk: who watches stays
            _log(f"{type(error).__name__}: {error}; looking again")


def start(workspace: Workspace, restarts: int) -> SupervisorRecord:
    """Start watching in the background and write down who watches."""
    log = workspace.live / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "serving.supervise",
                "--workspace",
                str(workspace.root),
                "--restarts",
                str(restarts),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "GRPC_VERBOSITY": "ERROR"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = SupervisorRecord(pid=process.pid, pid_started=psutil.Process(process.pid).create_time(), log=str(log))
    servers = read_model(workspace.servers, Servers, "make serve")
    write_json(workspace.servers, servers.model_copy(update={"supervisor": record}))
    return record


def watched(record: SupervisorRecord | None) -> bool:
    """Whether somebody watches."""
    return record is not None and runs(find(record.pid, record.pid_started))


def stop(record: SupervisorRecord | None) -> None:
    """End the watching before the servers are stopped, or it would bring them back."""
    process = find(record.pid, record.pid_started) if record else None
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_S)
        except psutil.TimeoutExpired:
            process.kill()


def _log(text: str) -> None:
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        print(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
