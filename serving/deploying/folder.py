"""The folder of a generated overlay: written whole or not at all, and never over somebody's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from contract.errors import UsageError
from contract.files import write_text
from serving.deploying.overlay import GENERATED, KUSTOMIZATION


def write(folder: Path, files: dict[str, str]) -> None:
    """Put the overlay there, in the place of an earlier one. Raises UsageError where something else is there."""
    if folder.exists() and not _generated(folder):
        raise UsageError(f"{folder} is there and was not written by this command; name another folder with --out")
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, text in files.items():
        write_text(fresh / name, text)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _generated(folder: Path) -> bool:
    file = folder / KUSTOMIZATION
    return folder.is_dir() and (
        not any(folder.iterdir()) or (file.is_file() and file.read_text(encoding="utf-8").startswith(GENERATED))
    )
