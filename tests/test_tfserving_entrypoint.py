"""docker/tfserving.sh ends the server that it runs after what is under way, and tells how a server ended by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[1] / "docker" / "tfserving.sh"
SERVES = "#!/bin/sh\necho up\nexec sleep 60\n"
# The earliest that a signal can come from somebody who saw the server start.
ASKS_AT_ONCE = "#!/bin/sh\nkill -TERM $PPID\nexec sleep 60\n"


@contextmanager
def running(folder: Path, server: str, drain_s: float) -> Iterator[subprocess.Popen[str]]:
    """The script, with a program of TF Serving's name before all others on PATH."""
    program = folder / "tensorflow_model_server"
    program.write_text(server)
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "DRAIN_S": f"{drain_s:g}"}
    process = subprocess.Popen(
        ["/bin/sh", str(ENTRYPOINT)], env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_the_server_goes_on_for_the_drain_and_is_ended_then(tmp_path: Path) -> None:
    with running(tmp_path, SERVES, 0.5) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        # The pipe ends with the last process that holds it: the server's life, not the shell's.
        assert process.stdout.read() == ""
        assert 0.5 <= time.monotonic() - asked < 30
        assert process.wait(timeout=30) == 0


def test_a_signal_at_the_start_is_not_lost(tmp_path: Path) -> None:
    with running(tmp_path, ASKS_AT_ONCE, 0) as process:
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("code", [0, 3])
def test_a_server_that_ends_by_itself_tells_its_code(tmp_path: Path, code: int) -> None:
    with running(tmp_path, f"#!/bin/sh\nexit {code}\n", 5) as process:
        assert process.wait(timeout=30) == code
