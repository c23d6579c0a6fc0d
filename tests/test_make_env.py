"""Which environment make uses, as make itself tells it; nothing is made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.making import OUTER, told


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "bootstrap.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def made(checkout: Path, extra: str) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / f".installed-{extra}").touch()


def test_without_an_environment_that_of_a_cpu_is_made(checkout: Path) -> None:
    assert "bootstrap.py --extra cpu" in told("status", checkout=checkout)


def test_an_environment_stays_what_it_was_made_as(checkout: Path) -> None:
    made(checkout, "gpu")
    assert "bootstrap.py" not in told("status", checkout=checkout)


def test_another_environment_is_made_where_it_is_asked_for(checkout: Path) -> None:
    made(checkout, "gpu")
    assert "bootstrap.py --extra cpu" in told("status", "EXTRA=cpu", checkout=checkout)


def tensorboard(checkout: Path) -> subprocess.CompletedProcess[str]:
    """``make tensorboard`` where the program says what it would look at."""
    made(checkout, "cpu")
    program = checkout / ".venv" / "bin" / "tensorboard"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho looks "$@"\n')
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in OUTER}
    making = ["make", "tensorboard"]
    return subprocess.run(making, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_tensorboard_without_a_training_says_what_to_run_first(checkout: Path) -> None:
    (checkout / "zoo" / "out").mkdir(parents=True)
    result = tensorboard(checkout)
    assert (result.returncode, result.stdout) == (2, "")
    assert "no training was logged here; run 'make zoo' first" in result.stderr


def test_tensorboard_looks_at_what_was_logged(checkout: Path) -> None:
    log = checkout / "zoo" / "out" / "sentiment" / "logs"
    log.mkdir(parents=True)
    (log / "events.out.tfevents.1").touch()
    assert "looks --logdir zoo/out" in tensorboard(checkout).stdout
