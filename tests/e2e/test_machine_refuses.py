"""A full disk, a read-only one, a folder without rights, a server that is not there: a sentence, exit code 3."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.workspace import Workspace
from tests.builders import write_artifacts
from tests.conftest import run_module

pytestmark = [pytest.mark.e2e]

MODELS = """
schema_version = 1

[models.words]
framework = "pytorch"
source = "zoo.somewhere:build"
formats = ["onnx"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    """Take all the room that there is."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"0" * 4096)
    os.close(handle)


def serve(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    flags = ["--config", str(root / "models.toml"), "--workspace", str(root)]
    return run_module("serving", *(words or ("repository",)), *flags)


def prepare(root: Path) -> None:
    (root / "models.toml").write_text(MODELS)
    write_artifacts(Workspace(root), "words", ("onnx",))


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_a_full_disk_is_a_sentence_and_the_old_repository_stays(small_disk: Path) -> None:
    prepare(small_disk)
    assert serve(small_disk).returncode == 0
    before = sorted(str(path) for path in (small_disk / "model_repository" / "triton").rglob("*"))
    shutil.rmtree(small_disk / "artifacts" / "words")
    write_artifacts(Workspace(small_disk), "words", ("onnx",), version=2)
    fill(small_disk / "filler")
    refused(serve(small_disk), "No space left on device", "make room or choose another folder with --workspace")
    assert sorted(str(path) for path in (small_disk / "model_repository" / "triton").rglob("*")) == before
    (small_disk / "filler").unlink()
    assert serve(small_disk).returncode == 0


def test_a_read_only_repository_is_a_sentence(small_disk: Path) -> None:
    prepare(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(serve(small_disk), "Read-only file system", "choose another folder with --workspace")


@pytest.mark.skipif(os.geteuid() == 0, reason="no folder is forbidden to root")
def test_a_folder_without_rights_is_a_sentence(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "model_repository").mkdir(mode=0o500)
    refused(serve(tmp_path), "Permission denied", "give this user the right to it")


def test_a_server_at_an_address_where_there_is_none_is_a_sentence(tmp_path: Path) -> None:
    prepare(tmp_path)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        result = serve(tmp_path, "up", "--triton", f"http://127.0.0.1:{port}")
    refused(result, "triton was not ready", f"127.0.0.1:{port}")


def test_a_corrupt_export_is_refused_with_tritons_own_words(tmp_path: Path) -> None:
    """The bytes are those of the manifest, and no ONNX."""
    prepare(tmp_path)
    result = serve(tmp_path, "up")
    refused(result, "words__onnx", "the server's last lines")
    assert serve(tmp_path, "status").stdout.startswith("nothing runs")


def test_a_server_that_is_not_installed_is_a_sentence(tmp_path: Path) -> None:
    prepare(tmp_path)
    result = serve(tmp_path, "up", "--triton", "docker")
    refused(result, "Docker")
