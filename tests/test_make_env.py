"""Which environment make uses, as make itself tells it; nothing is made."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def told(checkout: Path, *words: str) -> str:
    result = subprocess.run(["make", "-n", "status", *words], cwd=checkout, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


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
    assert "bootstrap.py --extra cpu" in told(checkout)


def test_an_environment_stays_what_it_was_made_as(checkout: Path) -> None:
    made(checkout, "gpu")
    assert "bootstrap.py" not in told(checkout)


def test_another_environment_is_made_where_it_is_asked_for(checkout: Path) -> None:
    made(checkout, "gpu")
    assert "bootstrap.py --extra cpu" in told(checkout, "EXTRA=cpu")
