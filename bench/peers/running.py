"""A server that runs under a guard while a block lasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from contract.cli import uninterrupted
from contract.errors import ServerError

READY_S = 120.0
GONE_S = 90.0
LAST_LINES = 12
ROOT = Path(__file__).parents[2]


class Running:
    """``with Running(…) as server: server.wait(…)``. Leaving the block, in whatever way, ends all of it."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        stop: list[str] | None = None,
        shared_memory: str = "",
    ) -> None:
        self.name, self._log = name, log
        words = [uuid.uuid4().hex, shared_memory, str(log), json.dumps(stop or []), *command]
        guard = str(Path(__file__).with_name("guard.py"))
        with uninterrupted():
            self._guard = subprocess.Popen(
                [sys.executable, guard, *words],
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the benchmark, which closes the pipe
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._guard.stdin
        with suppress(OSError):
            self._guard.stdin.close()
        with uninterrupted():
            self._guard.wait(GONE_S)

    def wait(self, ready: Callable[[], str], seconds: float = READY_S) -> None:
        """Until ``ready`` returns an empty string. Raises ServerError with its last word and the server's."""
        deadline = time.monotonic() + seconds
        while why := ready():
            if self._guard.poll() is not None:
                raise ServerError(f"{self.name} died while starting; its last lines:\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} was not ready in {seconds:.0f} s: {why}\n{self.last_lines()}")
            time.sleep(0.2)

    def last_lines(self) -> str:
        """The end of the server's log."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.is_file() else []
        return "\n".join(f"  | {line[:300]}" for line in lines[-LAST_LINES:]) or "  | (the log is empty)"
