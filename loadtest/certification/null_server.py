"""A null server as a child process: started, its CPU time followed, stopped, what it has seen read back."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from contract.children import python
from contract.cores import on_cores
from contract.errors import ServerError
from loadtest.certification.self_made import SelfMade
from loadtest.null.delay import read_seen

PROGRAMS = {"http": "loadtest.null.http", "rest": "loadtest.null.http", "grpc": "loadtest.null.grpc"}
EVERY_S = 0.05
STOP_S = 10.0


@dataclass
class NullServer:
    """One that runs, or has run."""

    address: str
    folder: Path
    process: psutil.Process
    times: list[tuple[int, float]] = field(default_factory=list)  # (CLOCK_MONOTONIC ns, CPU seconds so far)

    def cpu(self, start_ns: int, end_ns: int) -> float:
        """Share of one core that it used in between; nan where it was not followed."""
        if len(self.times) < 2:
            return float("nan")
        moments, spent = np.array(self.times).T
        begin, end = np.interp([start_ns, end_ns], moments, spent)
        return float((end - begin) / (end_ns - start_ns) * 1e9)

    def followed_until(self, moment_ns: int) -> None:
        """Wait, a second at most, until its processor time is known up to then: it is asked twenty times a second."""
        until = time.monotonic() + 1.0
        while self.times and self.times[-1][0] < moment_ns and time.monotonic() < until:
            time.sleep(0.01)

    def seen(self) -> NDArray[np.int64]:
        """[n, 2]: (arrived, answered) of every request, by arrival, once it has been stopped."""
        return read_seen(self.folder / "seen.bin")


@contextmanager
def null_server(
    protocol: str, answer: Path, folder: Path, cores: list[int], *held: str, shown: SelfMade | None = None
) -> Iterator[NullServer]:
    """Run one on the ``cores``; ``held`` are its flags about delay and stall, without any it does not note requests.

    With a certificate to be ``shown`` it speaks TLS. It is stopped at the end of the block. Raises ServerError with its
    last lines where it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = python(PROGRAMS[protocol], "--answer", str(answer), *held)
    command += ["--seen", str(folder / "seen.bin")] if held else []
    command += ["--certificate", str(shown.certificate), "--key", str(shown.key)] if shown else []
    log = folder / "null-server.log"
    with log.open("wb") as errors, on_cores(cores, "affinity.servers"):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert child.stdout is not None
        port = child.stdout.readline().decode().strip()
        if not port:
            lines = log.read_text(errors="replace").strip().splitlines()[-5:]
            raise ServerError(f"the null server for {protocol} did not start: " + " | ".join(lines))
        server = NullServer(f"127.0.0.1:{port}", folder, psutil.Process(child.pid))
        with _followed(server):
            yield server
    finally:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


@contextmanager
def _followed(server: NullServer) -> Iterator[None]:
    stopping = threading.Event()

    def follow() -> None:
        while not stopping.wait(EVERY_S):
            try:
                spent = server.process.cpu_times()
            except psutil.NoSuchProcess:
                return
            server.times.append((time.monotonic_ns(), spent.user + spent.system))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
