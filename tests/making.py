"""What make would do, as make itself tells it; nothing is done. Variables of a make around the tests do not count."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.conftest import ROOT

OUTER: tuple[str, ...] = (
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "LOADTEST",
    "WORKERS",
    "BIND",
    "PLAN",
    "CONFIG",
    "GROUP",
    "ALLOW_HOST",
)
OUTER += ("MAX_RPS", "REPLICAS", "VARIANT", "DEPLOYMENT", "USE", "EXTRA", "PROFILE", "IMAGES", "BASE", "PROJECT")


def told(*words: str, checkout: Path = ROOT) -> str:
    """The commands that ``make words…`` would run, a line each."""
    environment = {name: value for name, value in os.environ.items() if name not in OUTER}
    making = ["make", "--dry-run", "--no-print-directory", *words]
    ended = subprocess.run(making, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
