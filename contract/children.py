"""Child processes: torch and TensorFlow never share one, and a crash in one stays there.

A child's lines are passed on as they come, less the start-up noise of the frameworks; the last ones are kept for the
error message. An interrupted parent ends its child; a child of a killed parent ends when it next prints. A child that
takes longer than its limit is ended, and how much memory it took is read from the kernel.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from contract.errors import LoadproofError
from contract.progress import say

# Lines that the frameworks print at every start and that tell nobody anything.
NOISE = (
    "WARNING: All log messages before absl::InitializeLog()",
    "cudart_stub.cc",
    "cuda_executor.cc",
    "/port.cc:",
    "cpu_feature_guard.cc",
    "To enable the following instructions",
    "computation_placer.cc",
    "cuda_platform.cc",
)
# The frameworks stay on the CPU of the machine that exports, and Keras on TensorFlow.
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONUNBUFFERED": "1",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's own; a process of several threads may not leave the network
}
LAST_LINES = 15


T = TypeVar("T")
R = TypeVar("R")
_live: set[subprocess.Popen[str]] = set()
_going_down = threading.Event()  # an error or Ctrl-C has ended the children; no thread may start another


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (negative: the signal), its last lines, what it took."""

    code: int
    lines: list[str]
    timed_out_s: float | None = None
    seconds: float = field(default=0.0, compare=False)
    peak_mib: int = field(default=0, compare=False)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or a request to end stopped it: then how far it came says nothing about its work."""
        return self.code in (130, -signal.SIGINT, -signal.SIGTERM)

    @property
    def reason(self) -> str:
        """The last line of an error, the limit that it overran, or the signal that killed it."""
        if self.timed_out_s is not None:
            return f"took longer than its limit of {self.timed_out_s:g} s"
        if self.code < 0:
            return f"killed by signal {-self.code} ({signal.Signals(-self.code).name})"
        return (self.lines[-1] if self.lines else f"exit code {self.code}").removeprefix("error: ")


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this project with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def shown(command: Sequence[str]) -> str:
    """A command as a person would type it (the interpreter by its plain name)."""
    return shlex.join(["python" if part == sys.executable else part for part in command])


def run_child(
    command: Sequence[str],
    echo: bool = True,
    limit_s: float | None = None,
    log: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Ended:
    """Run a command to its end, passing its lines on to stderr when ``echo``.

    ``limit_s`` ends it after so many seconds; ``log`` receives the command and every line, noise too.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    if _going_down.is_set():
        raise LoadproofError("not started: something else has failed")
    started = time.monotonic()
    child = subprocess.Popen(
        command,
        env={**os.environ, **QUIET, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # so that what a child starts can be ended with it
    )
    _live.add(child)
    if _going_down.is_set():
        _end(child)
    overran = threading.Event()
    with ExitStack() as stack:
        stack.callback(_live.discard, child)
        stack.callback(_end, child)
        if limit_s is not None:
            timer = threading.Timer(limit_s, _overrun, (child, overran))
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        record = stack.enter_context(log.open("w", encoding="utf-8")) if log else None
        if record:
            print(f"$ {shown(command)}", file=record)
        assert child.stdout is not None
        for line in child.stdout:
            text = line.rstrip()
            if record and text:
                print(text, file=record)
            if text and not any(noise in text for noise in NOISE):
                last.append(text)
                if echo:
                    say(text)
        peak_mib = _wait(child)
    return Ended(
        child.returncode,
        list(last),
        limit_s if overran.is_set() else None,
        round(time.monotonic() - started, 3),
        peak_mib,
    )


def _overrun(child: subprocess.Popen[str], overran: threading.Event) -> None:
    overran.set()
    _signal(child, signal.SIGKILL)


def _wait(child: subprocess.Popen[str]) -> int:
    """Reap a child and return its largest resident memory, MiB, which only the call that reaps it can tell."""
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except ChildProcessError:  # reaped by _end() in another thread
        child.wait()
        return 0
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss // 1024


def at_once(work: Callable[[T], R], items: Sequence[T], most: int | None = None) -> list[R]:
    """Do ``work`` on every item in threads; results in the order of the items.

    As many at once as there are cores, and at most ``most``. For work that waits for children. When one fails, or on
    Ctrl-C, all children are ended before the error goes on.
    """
    _going_down.clear()
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max_workers=max(1, min(cores, most or cores))) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in futures if future in done and future.exception()), None)
            if failed is None:
                return [future.result() for future in futures]
        except BaseException:
            _end_all(futures)
            raise
        _end_all(futures)
        return [failed.result()]  # raises


def _end_all(futures: Sequence[Future[R]]) -> None:
    _going_down.set()
    for future in futures:
        future.cancel()
    for child in list(_live):
        _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is not None:
        return
    _signal(child, signal.SIGTERM)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        _signal(child, signal.SIGKILL)
        child.wait()


def _signal(child: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a child and to everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)
