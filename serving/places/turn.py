"""One command at a time changes the servers of a workspace; two would each forget what the other has started.

The turn is a lock on live/turn, which ends with its process, whatever that dies of. The file says whose turn it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from contract.errors import ServerError, UsageError
from contract.progress import say
from contract.triton_control import LOAD_S
from contract.workspace import Workspace
from serving.places.processes import find

LOOK_S = 0.1
END_S = LOAD_S + 60.0  # who is interrupted first brings back what was served, or stops what it started

_ours: set[Path] = set()  # the turns that this process has: what a command does takes no second one


@contextmanager
def turn(workspace: Workspace, what: str) -> Iterator[None]:
    """Have the turn in the block, in which ``what`` (a command's name) is done.

    Raises UsageError where another process has it.
    """
    file = workspace.live / "turn"
    if file in _ours:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = _open(file)
    try:
        if not _take(handle):
            raise UsageError(f"{_holder(file)} is changing the servers of {workspace.root}; wait until it has ended")
        with _held(handle, file, what):
            yield
    finally:
        os.close(handle)


@contextmanager
def last_turn(workspace: Workspace, what: str) -> Iterator[None]:
    """The same for who wants an end of it all: whoever has the turn is interrupted, and cleans up itself. Who wants the
    same end is waited for.

    Raises ServerError where it does not end.
    """
    file = workspace.live / "turn"
    handle: int | None = None
    with contextlib.suppress(OSError):  # nothing was ever started, or nothing can be written: stopping goes on
        handle = None if file in _ours else _open(file)
    if handle is None:
        yield
        return
    try:
        if not _take(handle):
            _interrupt(file, handle, what)
        with _held(handle, file, what):
            yield
    finally:
        os.close(handle)


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)


@contextmanager
def _held(handle: int, file: Path, what: str) -> Iterator[None]:
    with contextlib.suppress(OSError):  # on a full disk nobody reads whose turn it is; it is theirs all the same
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {psutil.Process().create_time()} {what}".encode(), 0)
    _ours.add(file)
    try:
        yield
    finally:
        _ours.discard(file)
        os.ftruncate(handle, 0)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _interrupt(file: Path, handle: int, what: str) -> None:
    """Take the turn from whoever has it: it is asked to end, unless it does ``what`` too."""
    asking = "" if _does(file, what) else "interrupting it and "
    say(f"{_holder(file)} is changing the servers: {asking}waiting for its end, {END_S:.0f} s at most")
    deadline = time.monotonic() + END_S
    asked: set[int] = set()
    while not _take(handle):
        process = _process(file)
        if process is not None and process.pid not in asked and not _does(file, what):
            asked.add(process.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        if time.monotonic() > deadline:
            raise ServerError(f"{_holder(file)} has not ended {END_S:.0f} s after it was asked to; end it by 'kill -9'")
        time.sleep(LOOK_S)


def _words(file: Path) -> list[str]:
    """Process id, its start (seconds of the epoch), command; fewer while somebody is about to write them."""
    return file.read_text(encoding="utf-8", errors="replace").split(maxsplit=2)


def _does(file: Path, what: str) -> bool:
    """Whether the turn is for this command."""
    return _words(file)[2:] == [what]


def _process(file: Path) -> psutil.Process | None:
    """The very process that has the turn, not one that was given its id later."""
    words = _words(file)
    return find(int(words[0]), float(words[1])) if len(words) == 3 else None


def _holder(file: Path) -> str:
    words = _words(file)
    return f"'{words[2]}' (process {words[0]})" if len(words) == 3 else "another process"
