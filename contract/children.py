"""Child processes: torch and TensorFlow never share one, and a crash in one stays there.

A child's lines are passed on as they come, less the start-up noise of the frameworks; the last ones are kept for the
error message. An interrupted parent ends its child; a child of a killed parent ends when it next prints.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
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
}
LAST_LINES = 15


T = TypeVar("T")
R = TypeVar("R")
_live: set[subprocess.Popen[str]] = set()
_going_down = threading.Event()  # an error or Ctrl-C has ended the children; no thread may start another


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (negative: the signal) and its last lines."""

    code: int
    lines: list[str]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or a request to end stopped it: then how far it came says nothing about its work."""
        return self.code in (130, -signal.SIGINT, -signal.SIGTERM)

    @property
    def reason(self) -> str:
        """The last line of an error, or the signal that killed it."""
        if self.code < 0:
            return f"killed by signal {-self.code} ({signal.Signals(-self.code).name})"
        return (self.lines[-1] if self.lines else f"exit code {self.code}").removeprefix("error: ")


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this project with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def shown(command: Sequence[str]) -> str:
    """A command as a person would type it (the interpreter by its plain name)."""
    return shlex.join(["python" if part == sys.executable else part for part in command])


def run_child(command: Sequence[str], echo: bool = True) -> Ended:
    """Run a command to its end, passing its lines on to stderr when ``echo``."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    if _going_down.is_set():
        raise LoadproofError("not started: something else has failed")
    child = subprocess.Popen(
        command,
        env={**os.environ, **QUIET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    _live.add(child)
    if _going_down.is_set():
        _end(child)
    try:
        assert child.stdout is not None
        for line in child.stdout:
            text = line.rstrip()
            if text and not any(noise in text for noise in NOISE):
                last.append(text)
                if echo:
                    say(text)
        return Ended(child.wait(), list(last))
    finally:
        _end(child)
        _live.discard(child)


def at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do ``work`` on every item in threads, as many at once as there are cores; results in the order of the items.

    For work that waits for children. When one fails, or on Ctrl-C, all children are ended before the error goes on.
    """
    _going_down.clear()
    with ThreadPoolExecutor(max_workers=max(1, len(os.sched_getaffinity(0)))) as pool:
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
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
