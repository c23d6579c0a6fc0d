"""How one model of a running TF Serving gets a new version: its ModelService, and the folders that it watches.

A server that somebody else runs is left as it is where a configuration of ours could take models of theirs away.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from contract.endpoints import ServerRecord
from contract.errors import LoadproofError
from contract.files import write_text
from contract.workspace import Workspace
from serving.choice import read_choice
from serving.repository import Served, copy_whole
from serving.tfserving_config import MODELS_CONFIG, add_model, keeping, policy_of, read_models
from serving.tfserving_control import TfServingControl
from serving.tfserving_neighbours import insist_on_ours_alone
from serving.tfserving_state import TfServingState

BRIDGE = 1_000_000_000  # added to a version: what answers while that version is loaded once more; no export is so new


class TfServingRoller:
    """Works on the base paths that the server watches."""

    gap = "requests that name no version were answered meanwhile; those that name it were refused for a moment"

    def __init__(self, server: ServerRecord, workspace: Workspace, ours: bool) -> None:
        """``ours``: somebody's word that a server at an address has no models but ours; `up` may have been given it."""
        self._server = server
        self._control = TfServingControl(server)
        self._state = TfServingState(server)
        self._tree = workspace.tfserving_repository
        self._old_config = ""
        self._said = ours or (server.place == "url" and read_choice(workspace).tfserving_ours)

    def load_candidate(self, candidate: Served) -> None:
        """Load the new version as a model of its own. Raises ServerError where the server cannot, UsageError where it
        may hold what is not ours.
        """
        folder = self._tree / candidate.name
        shutil.rmtree(folder, ignore_errors=True)
        copy_whole(candidate.artifact, folder / str(candidate.version))
        config = self._config()
        add_model(config, candidate.name, folder)
        self._configure(config)
        self._state.wait(candidate.name, candidate.version)

    def drop_candidate(self, candidate: Served) -> None:
        """Unload it and remove its files."""
        with contextlib.suppress(
            LoadproofError
        ):  # the server is gone, or complains of something else that is configured
            self._configure(self._config())
        shutil.rmtree(self._tree / candidate.name, ignore_errors=True)

    def publish(self, item: Served) -> float:
        """Put the version where the server looks; it loads it, then unloads the older ones beyond what is to be served.

        Seconds until available.
        """
        started = time.monotonic()
        self._old_config = self._file.read_text(encoding="utf-8")
        try:
            write_text(self._file, keeping(self._old_config, item.name, item.versions))
            copy_whole(item.artifact, self._tree / item.name / str(item.version))
            self._configure(self._config())
            self._state.wait(item.name, item.version)
        except (LoadproofError, OSError):
            self.take_back(item)
            raise
        return round(time.monotonic() - started, 2)

    def take_back(self, item: Served) -> None:
        """Remove the version again; one that went for it comes back."""
        shutil.rmtree(self._tree / item.name / str(item.version), ignore_errors=True)
        write_text(self._file, self._old_config)
        self._configure(self._config())

    def retire(self, item: Served) -> None:
        """Remove the files of versions that are no longer served."""
        for version in self._versions(item.name)[: -item.versions]:
            shutil.rmtree(self._tree / item.name / str(version), ignore_errors=True)

    def renew(self, name: str, version: int) -> float:
        """Load every version once more, while the files of ``version`` answer as another; seconds that all of it took.

        TF Serving never loads a version that it holds. So a newer one comes and is all that is to be served, for which
        the others go; they come back beside it, and only then it goes: who names no version is never sent to an older.
        """
        insist_on_ours_alone(self._server, self._tree, self._said)  # before it can find the bridge by itself
        started = time.monotonic()
        versions = self._versions(name)
        bridge = self._tree / name / str(BRIDGE + version)
        try:
            if not bridge.exists():  # else somebody was interrupted at just this
                copy_whole(self._tree / name / str(version), bridge)
            try:
                self._serve_only(name, [BRIDGE + version])
                self._state.wait(name, BRIDGE + version)
                for each in versions:
                    self._state.wait(name, each, available=False)
            finally:  # whatever failed: without its files there would be nothing to serve
                self._serve_only(name, [*versions, BRIDGE + version])
            self._state.wait_for((name, each) for each in versions)
        finally:
            shutil.rmtree(bridge, ignore_errors=True)
            self._configure(self._config())
        return round(time.monotonic() - started, 2)

    @property
    def _file(self) -> Path:
        return self._tree / MODELS_CONFIG

    def _config(self) -> Any:
        """What the server is to serve as long as nothing is changed."""
        return read_models(self._file.read_text(encoding="utf-8"))

    def _serve_only(self, name: str, versions: list[int]) -> None:
        config = self._config()
        policy_of(config, name).specific.versions.extend(versions)
        self._configure(config)

    def _configure(self, config: Any) -> None:
        """Have the server serve this, and look at its folders. What it had besides is unloaded."""
        insist_on_ours_alone(self._server, self._tree, self._said)  # every time: a model may have come meanwhile
        self._control.configure(config)

    def _versions(self, name: str) -> list[int]:
        """The versions whose files lie in a model's folder, oldest first."""
        found = (int(child.name) for child in (self._tree / name).iterdir() if child.name.isdigit())
        return sorted(version for version in found if version < BRIDGE)
