"""A step's own process without network: models are programs, and a program that was sent in need not phone home.

Linux: an own network namespace has no interface but a loopback that is down. Where the kernel or a container's
policy forbids it, the step runs with the network and its log says so.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


def leave_network() -> str | None:
    """Give up the network for this process, before any thread runs. Returns why that was not possible, or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if user == 0:
        if libc.unshare(CLONE_NEWNET) == 0:
            return None
        return os.strerror(ctypes.get_errno())
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return os.strerror(ctypes.get_errno())
    # The same ids inside as outside, so that files keep their owners; without them the step still runs.
    with suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return None
