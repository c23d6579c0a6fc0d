"""Which environment is made from which lock file, and how: a load worker's is small."""

from __future__ import annotations

import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

import bootstrap
from tests.conftest import ROOT

PYTHON = Path("/venv/bin/python")
# What makes the whole environment large; requirements/cpu.lock has all of it.
HEAVY = {"torch", "tensorflow", "keras", "onnx", "onnxruntime", "nvidia-pytriton"}


def packages(extra: str) -> set[str]:
    lock = (ROOT / "requirements" / f"{extra}.lock").read_text()
    return set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))


def test_a_load_worker_is_given_its_lock_file_and_nothing_that_its_packages_ask_for() -> None:
    lock = ROOT / "requirements" / "loadtest.lock"
    command = bootstrap.pip_install(PYTHON, "loadtest", lock)
    assert command[:4] == [str(PYTHON), "-m", "pip", "install"]
    assert "--no-deps" in command  # tensorflow-serving-api asks for TensorFlow
    assert command[-2:] == ["-r", str(lock)]


@pytest.mark.parametrize("extra", bootstrap.EXTRAS)
def test_the_whole_environment_may_take_what_the_build_of_torch_that_is_found_asks_for(extra: str) -> None:
    assert "--no-deps" not in bootstrap.pip_install(PYTHON, extra, ROOT / "requirements" / f"{extra}.lock")


def test_a_load_worker_needs_no_ml_framework_and_the_versions_that_were_tested_together() -> None:
    assert packages("cpu") >= HEAVY
    assert not packages("loadtest") & HEAVY
    assert {"locust", "gevent", "tensorflow-serving-api", "tritonclient"} <= packages("loadtest") <= packages("cpu")


def test_every_environment_has_its_lock_file_and_the_dockerfile_installs_it_alike() -> None:
    for extra in bootstrap.ENVIRONMENTS:
        assert (ROOT / "requirements" / f"{extra}.lock").is_file(), extra
    dockerfile = (ROOT / "docker" / "loadtest.Dockerfile").read_text()
    assert re.search(r"pip install .*--no-deps -r \S*loadtest\.lock", dockerfile)


@pytest.mark.parametrize(("extra", "refused"), [("cpu", True), ("gpu", True), ("loadtest", False)])
def test_a_machine_with_two_free_gib_can_only_lend_load_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, refused: bool
) -> None:
    usage = namedtuple("usage", ["free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * 2**30))
    if not refused:
        return bootstrap.check_machine(tmp_path / ".venv", extra)
    with pytest.raises(bootstrap.Refused, match=r"2\.0 GiB free, the environment needs about 12"):
        bootstrap.check_machine(tmp_path / ".venv", extra)
    return None
