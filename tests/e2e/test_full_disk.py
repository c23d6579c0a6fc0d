"""A disk that fills up under running servers.

Who watches them stays, and tells everything when there is room again; a roll is refused, and the old version goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from contract.files import sha256_tree, write_json
from contract.manifest import read_newest
from serving.proof.rechecking import recheck
from tests.e2e.test_machine_refuses import fill
from tests.open_loop import wait_for
from tests.stage import TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}"
LITTLE = 64 * 1024  # bytes: much less than the model


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


def test_a_roll_on_a_full_disk_is_a_sentence_and_the_old_version_goes_on(stage: Stage) -> None:
    _export_newer(stage)
    laid_out, servers = stage.workspace.triton_repository, _pids(stage)
    before, filler = sorted(laid_out.rglob("*")), stage.root / "filler"
    for room in (0, LITTLE):  # nothing can be begun; the files of the new version do not fit
        fill(filler)
        os.truncate(filler, filler.stat().st_size - room)
        refused = stage.run("serving", "roll")
        filler.unlink()
        assert refused.returncode == 3, refused.stderr
        assert "No space left on device" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert sorted(laid_out.rglob("*")) == before
        _insist_on_version(stage, 1)
    (event,) = stage.events()
    assert event.what == "refused"
    assert "version 2 of torch__onnx is refused, version 1 goes on: " in event.detail
    assert "No space left on device; make room" in event.detail
    stage.do("serving", "roll")
    _insist_on_version(stage, 2)
    assert _pids(stage) == servers


def _insist_on_version(stage: Stage, version: int) -> None:
    assert {item.version for item in stage.endpoints()} == {version}
    assert all(recheck(endpoint, stage.workspace).passed for endpoint in stage.endpoints())


def _export_newer(stage: Stage) -> None:
    """Version 2, of other bytes and the same answers."""
    folder, manifest = read_newest(stage.workspace.artifacts / "torch")
    newer = folder.with_name("2")
    shutil.copytree(folder, newer)
    record = manifest.formats["onnx"]
    assert record.path
    model = onnx.load(newer / record.path)
    model.doc_string = "newer"
    onnx.save(model, newer / record.path)
    record = record.model_copy(update={"sha256": sha256_tree(newer / record.path)})
    write_json(newer / "manifest.json", manifest.model_copy(update={"version": 2, "formats": {"onnx": record}}))


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
