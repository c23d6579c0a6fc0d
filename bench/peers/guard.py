"""A process that holds a server and ends it, whatever happens to whoever asked for it.

    python bench/peers/guard.py MARK SHM LOG STOP COMMAND…

The command runs with LOADPROOF_BENCH=MARK in its environment, which all that it starts inherit: processes that leave
the session are found by it. When stdin ends (the asking process closed it, or died) or on SIGTERM, the server is
asked to end, then made to. STOP is a JSON list: the command that ends what the first one left behind ([]: none). SHM is
a prefix of shared memory that goes with the server; {pid} in it is the server's.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

MARK = "LOADPROOF_BENCH"
POLITE_S, FIRM_S = 12.0, 5.0
LEFT_S = 1.5  # what a server leaves behind has as long to end by itself
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only files with the server's own prefix are touched


class _Ended(Exception):
    """SIGTERM came."""


def marked(mark: str) -> list[psutil.Process]:
    """Every process that carries the mark, this one excepted."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if needle in environment and process.pid != os.getpid():
                found.append(process)
    return found


def sweep(mark: str, known: Sequence[psutil.Process] = ()) -> None:
    """End every process with the mark, and these: politely, then firmly."""
    for number, seconds in ((signal.SIGTERM, FIRM_S), (signal.SIGKILL, FIRM_S)):
        left = {process.pid: process for process in (*marked(mark), *known)}
        for process in left.values():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        psutil.wait_procs(list(left.values()), timeout=seconds)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Until stdin ends, or the child fails. A child that ended well may have left servers behind."""
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], 0.2)
        if readable and not os.read(sys.stdin.fileno(), 1):
            return 0
        if child.poll():
            return child.returncode


def _end(child: subprocess.Popen[bytes], mark: str, stop: list[str], log: Path) -> None:
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(child.pid).children(recursive=True)
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    if stop:
        with log.open("ab") as output, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(stop, stdout=output, stderr=output, timeout=60, check=False)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(POLITE_S)
    deadline = time.monotonic() + LEFT_S
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    sweep(mark, family)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(1)


def main(arguments: Sequence[str]) -> int:
    mark, prefix, log, stop, *command = arguments

    def end(number: int, frame: object) -> None:
        raise _Ended

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(log).open("wb") as output:
        environment = {**os.environ, MARK: mark}
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    code = 0
    try:
        code = _wait(child)
    except _Ended:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(child, mark, json.loads(stop), Path(log))
        if prefix:
            for file in SHARED_MEMORY.glob(f"{prefix.format(pid=child.pid)}*"):
                file.unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
