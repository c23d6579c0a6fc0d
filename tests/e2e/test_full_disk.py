"""A disk that fills up under running servers: who watches them stays, and tells everything when there is room again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.rechecking import recheck
from tests.e2e.test_machine_refuses import fill
from tests.open_loop import wait_for
from tests.stage import TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}"


@pytest.fixture
def stage(tmp_path: Path, copy_zoo: Callable[[Path], None]) -> Iterator[Stage]:
    """A running Triton in a workspace on a small disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        with served_on(Stage(disk), copy_zoo, MODELS) as stage:
            yield stage
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _pids(stage: Stage) -> tuple[int, int]:
    """Of Triton and of who watches it."""
    known = json.loads(stage.workspace.servers.read_text())
    return known["servers"][0]["pid"], known["supervisor"]["pid"]


def test_a_server_that_dies_on_a_full_disk_is_told_and_back_when_there_is_room(stage: Stage) -> None:
    server, watcher = _pids(stage)
    filler = stage.root / "filler"
    fill(filler)
    os.kill(server, signal.SIGKILL)
    assert not wait_for(lambda: not _runs(watcher), 3.0), "whoever watches has died of it"
    filler.unlink()
    assert wait_for(lambda: len(stage.events()) == 2, 120.0), (stage.root / "live/logs/supervisor.log").read_text()
    assert [event.what for event in stage.events()] == ["died", "restarted"]
    assert all(recheck(endpoint, stage.workspace).passed for endpoint in stage.endpoints())
    assert _pids(stage)[1] == watcher
    stage.do("serving", "stop")
    assert not _runs(watcher)
    assert subprocess.run(["pgrep", "-f", str(stage.root)], capture_output=True).stdout == b""


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
