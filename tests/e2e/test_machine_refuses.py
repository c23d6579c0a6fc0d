"""A full disk, a read-only one, a folder without rights, a server that is not there: a sentence, exit code 3."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.endpoints import ServerRecord
from contract.workspace import Workspace
from serving.engines import triton
from serving.places import process as place_process
from tests.builders import write_artifacts
from tests.conftest import ROOT, run_module
from tests.open_loop import wait_for

pytestmark = [pytest.mark.e2e]

ABOVE_MODES = "-dac_override,-dac_read_search"  # capabilities by which a mode means nothing to root
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


def flags(root: Path) -> list[str]:
    return ["--config", str(root / "models.toml"), "--workspace", str(root)]


def serve(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_module("serving", *(words or ("repository",)), *flags(root))


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


def heeding_modes() -> list[str]:
    """What begins a command to whom the modes of files count: nothing, or for root a way to lay its privilege down.

    Another user would not do: the interpreter may be in root's own folder.
    """
    if os.geteuid() != 0:
        return []
    words = ["setpriv", f"--bounding-set={ABOVE_MODES}", f"--inh-caps={ABOVE_MODES}"]
    if shutil.which("setpriv") is None or subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("root may not lay down its right to override modes here (setpriv)")
    return words


def test_a_folder_without_rights_is_a_sentence(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "model_repository").mkdir(mode=0o500)
    command = [*heeding_modes(), sys.executable, "-m", "serving", "repository", *flags(tmp_path)]
    refused(
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280),
        "Permission denied",
        "give this user the right to it",
    )


@pytest.fixture
def without_backends(tmp_path: Path) -> Iterator[ServerRecord]:
    """A Triton that is up and has no backend at all, with the repository of tmp_path."""
    prepare(tmp_path)
    assert serve(tmp_path).returncode == 0
    made = triton.launch(Workspace(tmp_path), "process", "26.08")
    for folder in (Workspace(tmp_path).live / "backends").iterdir():
        shutil.rmtree(folder)
    server: ServerRecord = place_process.start(made)
    try:
        ready = f"http://{server.host}:{server.ports['http']}{made.ready}"
        assert wait_for(lambda: answers(ready), 60.0), place_process.last_lines(server)
        yield server
    finally:
        place_process.stop(server)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def test_a_server_without_the_backend_is_a_sentence_with_what_to_do_and_is_left_running(
    without_backends: ServerRecord, tmp_path: Path
) -> None:
    ports = without_backends.ports
    where = f"http://127.0.0.1:{ports['http']},grpc://127.0.0.1:{ports['grpc']},metrics://127.0.0.1:{ports['metrics']}"
    refused(
        serve(tmp_path, "up", "--triton", where),
        "this server has no backend 'onnxruntime'; put serving/backends/onnxruntime into its image",
        "or leave the format out with 'serve' in models.toml",
    )
    assert place_process.alive(without_backends)
    assert serve(tmp_path, "status").stdout.startswith("nothing runs")


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
