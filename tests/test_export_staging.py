"""Folders in which versions are made: gone when the work has ended, whatever it died of, and never those of others."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.files import write_bytes
from contract.manifest import LOGS
from export import staging as stage
from export.staging import LOCK, PREFIX, staging

KILLED = """\
import os, signal, sys
from pathlib import Path
from export.staging import staging
with staging(Path(sys.argv[1])) as folder:
    (folder / "model.pt").write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_made_for_the_work_and_gone_after_it(tmp_path: Path) -> None:
    with staging(tmp_path / "artifacts" / "words") as folder:
        assert [item.name for item in folder.iterdir()] == [LOGS]
    assert list((tmp_path / "artifacts" / "words").iterdir()) == []


def test_a_folder_that_was_renamed_stays_with_nothing_but_what_was_put_into_it(tmp_path: Path) -> None:
    with staging(tmp_path) as folder:
        write_bytes(folder / "model.pt", b"whole")
        folder.rename(tmp_path / "1")
    left = sorted(item.relative_to(tmp_path).as_posix() for item in tmp_path.rglob("*"))
    assert left == ["1", "1/logs", "1/model.pt"]


def test_a_version_can_be_read_by_others(tmp_path: Path) -> None:
    """A server's process has another user's rights than the export had."""
    (tmp_path / "ordinary").mkdir()
    with staging(tmp_path) as folder:
        folder.rename(tmp_path / "1")
    assert (tmp_path / "1").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_an_export_leaves_the_folder_of_another_that_is_at_work(tmp_path: Path) -> None:
    with staging(tmp_path) as first:
        write_bytes(first / "model.pt", b"half of it")
        with staging(tmp_path) as second:
            assert second != first
        assert (first / "model.pt").read_bytes() == b"half of it"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=Path(__file__).parents[1], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(f"{PREFIX}*/version/model.pt")
    with staging(tmp_path) as folder:
        assert not left.exists()
        assert [item.name for item in folder.iterdir()] == [LOGS]


def test_a_folder_whose_lock_is_not_taken_yet_is_left_alone(tmp_path: Path) -> None:
    """Somebody may have made it this very moment."""
    (tmp_path / f"{PREFIX}new").mkdir()
    with staging(tmp_path):
        pass
    assert [item.name for item in tmp_path.iterdir()] == [f"{PREFIX}new"]


def test_a_lock_is_held_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def look(self: Path, target: Path) -> Path:
        named = rename(self, target)
        held.append(not stage._abandoned(named.parent))
        return named

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", look)
    with staging(tmp_path):
        assert held == [True]


def test_on_a_volume_without_locks_work_goes_on_and_nothing_of_others_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(fcntl, "flock", none)
    write_bytes(tmp_path / f"{PREFIX}other" / LOCK, b"")
    with staging(tmp_path) as folder:
        assert folder.is_dir()
    assert [item.name for item in tmp_path.iterdir()] == [f"{PREFIX}other"]
