"""What the tests share: the project's commands as processes, and the trained zoo, made once and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "tests"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def run_module(*words: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Run ``python -m words…`` from the project's root, as make does."""
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture(scope="session")
def command() -> Command:
    """The project's commands."""
    return run_module


@pytest.fixture(scope="session")
def trained_zoo() -> Path:
    """zoo/out with the two models of the default group, trained by the real command."""
    return _zoo("sentiment_torch", "sentiment_keras")


@pytest.fixture(scope="session")
def whole_zoo() -> Path:
    """zoo/out with every model that is trained here."""
    return _zoo()


def _zoo(*models: str) -> Path:
    """zoo/out with these models (none: all), kept as long as the zoo's sources stay the same."""
    sources = b"".join(file.read_bytes() for file in sorted((ROOT / "zoo").glob("*.py")))
    digest = hashlib.sha256(sources).hexdigest()[:16]
    folder = CACHE / f"zoo-{digest}-{'default' if models else 'whole'}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            making = folder.with_name(f"{folder.name}.{os.getpid()}")
            result = run_module("zoo", *models, "--workspace", str(making), timeout=1800)
            assert result.returncode == 0, result.stderr
            making.rename(folder)
    return folder / "zoo" / "out"


@pytest.fixture(scope="session")
def copy_zoo(trained_zoo: Path) -> Callable[[Path], None]:
    """Give a workspace the trained zoo."""

    def copy(workspace: Path) -> None:
        shutil.copytree(trained_zoo, workspace / "zoo" / "out")

    return copy
