"""Exports of models that many files of tests serve: made once by the real command, copied since, made anew if stale."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from contract.config import read_config
from contract.manifest import read_newest
from contract.workspace import Workspace
from export.job import fingerprint
from tests.conftest import CACHE

KEPT = CACHE / "exports"


@contextmanager
def exports_kept(root: Path) -> Iterator[None]:
    """Around a workspace's first export: what was exported alike before is there already, and what is new is kept.

    The command inside finds by itself what is up to date, so that nothing old is served for new. Others wait meanwhile
    rather than export the same beside it.
    """
    models = read_config(root / "models.toml").models
    artifacts = Workspace(root).artifacts
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / "lock"):
        for name, model in models.items():
            kept = _folder(name, fingerprint(model))
            if kept.is_dir():
                shutil.copytree(kept, artifacts / name / "1")
        yield
        for name in models:
            folder, manifest = read_newest(artifacts / name)
            kept = _folder(name, manifest.fingerprint)
            if folder.name != "1":  # what was kept was damaged: the next one makes it anew
                shutil.rmtree(kept, ignore_errors=True)
                continue
            if not kept.is_dir():
                making = kept.with_name(f"{kept.name}.{os.getpid()}")  # a copy that is cut short is not kept
                shutil.copytree(folder, making)
                making.rename(kept)


def _folder(name: str, fingerprint: str) -> Path:
    return KEPT / f"{name}-{fingerprint[:16]}"
