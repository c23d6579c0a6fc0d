"""What a command shows to somebody who sits before a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence

from tests.conftest import ROOT

SIZE = {"COLUMNS": "170", "LINES": "40", "TERM": "xterm"}


def on_terminal(command: Sequence[str]) -> tuple[int, str]:
    """Run it on a terminal of its own until it ends; its exit code and everything that it wrote."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | SIZE)
    os.close(theirs)
    seen = b""
    try:
        while piece := _read(ours):
            seen += piece
    finally:
        os.close(ours)
        code = child.wait()
    return code, seen.decode(errors="replace")


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65536)
    except OSError:  # the other side is closed
        return b""
