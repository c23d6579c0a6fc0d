"""Run a Launch as a process of this machine: started apart from the terminal, found again by pid and start time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from contract.cores import on_cores
from contract.endpoints import ServerRecord
from contract.errors import ServerError
from serving.places.launch import Launch
from serving.places.ports import answers
from serving.places.processes import find, runs

LAST_LINES = 20
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives; only our own prefix is touched
STOP_TIMEOUT_S = 15.0
PREVIOUS = ".previous"  # added to the name of the log of the start before


def start(launch: Launch) -> ServerRecord:
    """Start the server in a session of its own, so that Ctrl-C in the terminal does not reach it.

    The log of the start before is kept beside its own: it may be of the crash that this start follows.
    """
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        launch.log.replace(_previous(launch.log))
    with launch.log.open("wb") as log:
        try:
            with on_cores(launch.cores, "affinity.servers"):
                process = subprocess.Popen(
                    launch.command,
                    env={**os.environ, **launch.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ServerError(f"{launch.command[0]} could not be started: {error}") from None
    return ServerRecord(
        engine=launch.engine,
        engine_kind=launch.engine_kind,
        engine_version="unknown",
        place="process",
        host=launch.host,
        pid=process.pid,
        pid_started=psutil.Process(process.pid).create_time(),
        container=None,
        command=launch.command,
        ports=launch.ports,
        log=str(launch.log),
        shm_prefix=launch.shm_prefix,
    )


def put_back_previous(log: Path) -> None:
    """Forget the log of a start that came to nothing, so that the next start keeps the one before it."""
    with contextlib.suppress(FileNotFoundError):
        _previous(log).replace(log)


def _previous(log: Path) -> Path:
    return log.with_name(f"{log.name}{PREVIOUS}")


def alive(server: ServerRecord) -> bool:
    """Whether the very process that we started still runs (a zombie does not)."""
    return runs(_process(server))


def lost_a_port(server: ServerRecord) -> bool:
    """Whether somebody else listens on one of its ports: then it is about to die of that."""
    own: set[int] = set()
    for member in _family(server):
        with contextlib.suppress(psutil.NoSuchProcess):
            found = member.net_connections("tcp")
            own |= {item.laddr.port for item in found if item.status == psutil.CONN_LISTEN}
    return any(port not in own and answers(server.host, port) for port in server.ports.values())


def stop(server: ServerRecord) -> None:
    """End the server and everything in its session: politely, then firmly. Its shared-memory files go with it."""
    process = _process(server)
    family = _family(server)
    # A server ends its own children; where it is gone, its orphans are asked themselves.
    for member in [process] if process is not None else family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
    for member in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(left, timeout=5)
    if server.shm_prefix:
        for file in SHARED_MEMORY.glob(f"{server.shm_prefix}*"):
            file.unlink(missing_ok=True)


def last_lines(server: ServerRecord) -> str:
    """The end of the server's log, for an error message."""
    try:
        lines = Path(server.log).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:]) or "  | (the log is empty)"


def _process(server: ServerRecord) -> psutil.Process | None:
    return find(server.pid, server.pid_started)


def _family(server: ServerRecord) -> list[psutil.Process]:
    """The server, its children, and orphans of its session (a stub outlives a server that was killed)."""
    family: list[psutil.Process] = []
    if server.pid is None or (psutil.pid_exists(server.pid) and _process(server) is None):
        return family  # the pid is somebody else's now; Linux gives none away that is still the id of a session
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == server.pid and _newer(process, server):
                family.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return family


def _newer(process: psutil.Process, server: ServerRecord) -> bool:
    return bool(process.create_time() >= (server.pid_started or 0.0) - 0.02)


def wait_gone(seconds: float, server: ServerRecord) -> bool:
    """Wait until the server is gone; False when it is not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not alive(server):
            return True
        time.sleep(0.05)
    return not alive(server)
