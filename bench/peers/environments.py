"""One virtual environment for each peer, made once from its requirements.txt and kept while that does not change."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from contract.errors import LoadproofError
from contract.progress import say

HERE = Path(__file__).parent
WHOLE = "whole"  # written last: an environment without it was interrupted while it was made


def requirements(peer: str) -> Path:
    """The pinned requirements of a peer."""
    return HERE / peer / "requirements.txt"


def version(peer: str, package: str) -> str:
    """The version of a package that a peer's requirements pin."""
    for line in requirements(peer).read_text().splitlines():
        name, _, pinned = line.partition("==")
        if name.split("[")[0].lower() == package:
            return pinned.strip()
    return "unknown"


def interpreter(peer: str, cache: Path) -> Path:
    """The peer's own Python; its environment is made where it is missing. Raises LoadproofError with pip's words."""
    wanted = requirements(peer).read_bytes() + sys.version.encode()
    folder = cache / f"{peer}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if (folder / WHOLE).is_file():
        return python
    say(f"{peer}: making its environment in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    _run(peer, [sys.executable, "-m", "venv", str(folder)])
    _run(peer, [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements(peer))])
    (folder / WHOLE).touch()
    return python


def _run(peer: str, command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if not line.startswith("WARNING")]
        raise LoadproofError(
            f"{peer}: its environment could not be made: {' '.join(lines[-5:]) or ended.stdout[-500:]}"
        )
