"""A version in the making: a folder beside the versions, gone again unless it was renamed to one of them.

Two exports may be at work on one model, in containers over one volume too, where both have the same process id. So it
is a lock that says whether somebody is at work on a folder: it ends with its process, whatever that dies of.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.manifest import LOGS

PREFIX = ".staging-"
LOCK = "lock"


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """A folder below ``directory`` (``artifacts/<model>``) to make a version in; what killed exports left is gone."""
    directory.mkdir(parents=True, exist_ok=True)
    for place in directory.glob(f"{PREFIX}*"):
        if _abandoned(place):
            shutil.rmtree(place, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
    try:
        with _at_work(place):
            folder = place / "version"  # in it, not itself: the lock stays behind, and so do the rights of a mkdtemp()
            (folder / LOGS).mkdir(parents=True)
            yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _at_work(place: Path) -> Iterator[None]:
    """Hold the lock of a folder. It is taken before it has its name, so that nobody meets it as one that is free."""
    unnamed = place / f"{LOCK}.new"
    with unnamed.open("wb") as file:
        with suppress(OSError):  # a volume without locks: nobody else gets this one either
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(place / LOCK)
        yield


def _abandoned(place: Path) -> bool:
    """Whether nobody holds the lock. Where there is none yet, or none can be had, somebody may be at work."""
    try:
        with (place / LOCK).open("r+b") as file:  # for writing: NFS gives no exclusive lock to a reader
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
