"""Which environment make uses, as make itself tells it; nothing is made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.making import told


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
