"""How one model of a running Triton gets a new version: explicit loads, old versions let go by the version policy.

Triton loads what it holds already only where its files have changed, beside what answers, which it lets go afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from contract.endpoints import ServerRecord
from contract.errors import LoadproofError
from contract.files import write_text
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.ports import host_port
from serving.repository import Served, write_triton_config, write_triton_version


class TritonRoller:
    """Works on the repository that the server reads."""

    gap = "what was loaded answered until the new was ready"

    def __init__(self, server: ServerRecord, workspace: Workspace, ours: bool) -> None:
        """Whether all of its models are ours is nothing to a Triton, which is told of one at a time."""
        self._control = TritonControl(host_port(server.host, server.ports["http"]))
        self._tree = workspace.triton_repository
        self._old_config = ""

    def load_candidate(self, candidate: Served) -> None:
        """Load the new version as a model of its own. Raises ServerError where Triton cannot."""
        folder = self._tree / candidate.name
        shutil.rmtree(folder, ignore_errors=True)
        write_triton_version(candidate, folder)
        # Without warm-up: a Triton of release 24.10 can crash when a python-based backend refuses a warm-up request.
        write_triton_config(candidate, folder, warm_up=False)
        self._control.load(candidate.name)

    def drop_candidate(self, candidate: Served) -> None:
        """Unload it, if it was loaded, and remove its files."""
        with contextlib.suppress(LoadproofError):  # it never loaded
            self._control.unload(candidate.name)
        shutil.rmtree(self._tree / candidate.name, ignore_errors=True)

    def publish(self, item: Served) -> float:
        """Make it a version of the model; Triton loads it, then unloads the older. Seconds until it was ready."""
        folder = self._tree / item.name
        self._old_config = (folder / "config.pbtxt").read_text(encoding="utf-8")
        try:
            write_triton_version(item, folder)
            write_triton_config(item, folder)
            return round(self._control.load(item.name), 2)
        except (LoadproofError, OSError):
            self.take_back(item)
            raise

    def take_back(self, item: Served) -> None:
        """Remove the version again; the one before it is loaded if it is not any more."""
        folder = self._tree / item.name
        shutil.rmtree(folder / str(item.version), ignore_errors=True)
        write_text(folder / "config.pbtxt", self._old_config)
        self._control.load(item.name)

    def retire(self, item: Served) -> None:
        """Remove the files of versions that the policy no longer serves."""
        for folder in self._versions(item.name)[: -item.versions]:
            shutil.rmtree(folder, ignore_errors=True)

    def renew(self, name: str, version: int) -> float:
        """Load every version of the model once more; seconds until they were ready. Where one fails, the old go on.

        A load of files that are as they were is done for Triton, whatever became of the model: so their folders get
        a new time. A new time of config.pbtxt alone changes no more than the number of instances.
        """
        for folder in self._versions(name):
            os.utime(folder)
        return round(self._control.load(name), 2)

    def _versions(self, name: str) -> list[Path]:
        """The folders of a model's versions, oldest first."""
        folders = [child for child in (self._tree / name).iterdir() if child.name.isdigit()]
        return sorted(folders, key=lambda folder: int(folder.name))
