"""What the machine lacks is said in a sentence, with what to install."""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import bootstrap
from contract.errors import UsageError
from contract.workspace import Workspace
from serving.engines import triton


def test_a_missing_libpython_names_the_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path) if name == "LIBDIR" else None)
    with pytest.raises(UsageError, match=rf"apt-get install libpython3\.{sys.version_info.minor}"):
        triton.library_folder()


def test_the_libpython_of_this_interpreter_is_found() -> None:
    assert list(Path(triton.library_folder()).glob("libpython3.*.so.1.0"))


def test_a_backend_directory_holds_this_interpreter_s_stub_and_our_backends_as_real_files(tmp_path: Path) -> None:
    folder = triton.assemble_backends(Workspace(tmp_path))
    assert {item.name for item in folder.iterdir()} == {"python", "onnxruntime", "pytorch", "tensorflow"}
    assert (folder / "python" / "triton_python_backend_stub").is_file()
    shared = {file.name for file in triton.BACKENDS.glob("*.py")}
    for name in ("onnxruntime", "pytorch", "tensorflow"):
        assert {item.name for item in (folder / name).iterdir()} == {"model.py", *shared}
    # Triton refuses links: "escapes backend directory".
    assert [item for item in folder.rglob("*") if item.is_symlink()] == []


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_another_platform_is_refused_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(bootstrap.Refused, match="Linux on x86-64 only"):
        bootstrap.check_machine(tmp_path / ".venv")


def test_another_python_is_refused_with_how_to_name_a_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(bootstrap.Refused, match=r"needed is 3\.11 or 3\.12: make PYTHON=python3\.11"):
        bootstrap.check_machine(tmp_path / ".venv")


def test_two_onnx_runtimes_in_one_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listed:
        stdout = '[{"name": "onnxruntime"}, {"name": "onnxruntime-gpu"}]'

    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: Listed())
    with pytest.raises(bootstrap.Refused, match="are the same module"):
        bootstrap.check_rivals(Path("python"))


def test_the_environment_of_these_tests_holds_one_onnx_runtime() -> None:
    bootstrap.check_rivals(Path(sys.executable))
