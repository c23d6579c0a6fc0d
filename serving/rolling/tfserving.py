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
from serving.engines.tfserving_control import TfServingControl
from serving.engines.tfserving_neighbours import insist_on_ours_alone
from serving.engines.tfserving_state import TfServingState
from serving.layout.laid_out import BRIDGE, versions_in
from serving.layout.repository import Served, copy_whole
from serving.layout.tfserving_config import MODELS_CONFIG, add_model, keeping, policy_of, read_models
from serving.layout.version_policy import Listed


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

        With it come the older ones that it holds. Seconds until available. Where this fails, it is to be taken back.
        """
        started = time.monotonic()
        self._old_config = self._file.read_text(encoding="utf-8")
        write_text(self._file, keeping(self._old_config, item.name, item.policy))
        for version in (item, *item.older):
            copy_whole(version.artifact, self._folder(item.name, version.version))
        self._configure(self._config())
        self._state.wait_for((version.name, version.version) for version in (item, *item.older))
        return round(time.monotonic() - started, 2)

    def take_back(self, item: Served) -> None:
        """Remove what came again, however much did; what went for it comes back."""
        if not self._old_config:
            return  # nothing came
        for version in (item, *item.older):
            shutil.rmtree(self._folder(item.name, version.version), ignore_errors=True)
        write_text(self._file, self._old_config)
        self._configure(self._config())

    def retire(self, item: Served) -> None:
        """Remove the files of versions that are no longer served."""
        versions = self.laid_out(item.name)
        for version in set(versions) - set(item.policy.kept(versions)):
            shutil.rmtree(self._folder(item.name, version), ignore_errors=True)

    def renew(self, name: str, version: int, only: int | None = None) -> float:
        """Load every version once more, or ``only`` one; seconds that all of it took.

        TF Serving never loads a version that it holds. So what is to be loaded again goes first, and comes back. The
        newest, ``version``, goes only while its files answer as another, newer one, which goes last: who names no
        version is never sent to an older.
        """
        insist_on_ours_alone(self._server, self._tree, self._said)  # before it can find the bridge by itself
        started = time.monotonic()
        versions = self.laid_out(name)
        again = [each for each in versions if only in (None, each)]
        stay = [each for each in versions if each not in again]
        bridges = [BRIDGE + version] if version in again else []
        try:
            for bridge in bridges:
                if not self._folder(name, bridge).exists():  # else somebody was interrupted at just this
                    copy_whole(self._folder(name, version), self._folder(name, bridge))
            try:
                self._serve_only(name, [*stay, *bridges])
                self._state.wait_for((name, bridge) for bridge in bridges)
                for each in again:
                    self._state.wait(name, each, available=False)
            finally:  # whatever failed: without its files there would be nothing to serve
                self._serve_only(name, [*versions, *bridges])
            self._state.wait_for((name, each) for each in versions)
        finally:
            shutil.rmtree(self._folder(name, BRIDGE + version), ignore_errors=True)
            self._configure(self._config())
        return round(time.monotonic() - started, 2)

    def laid_out(self, name: str) -> list[int]:
        """The versions whose files lie in a model's folder, oldest first."""
        return versions_in(self._tree / name)

    def _folder(self, name: str, version: int) -> Path:
        return self._tree / name / str(version)

    @property
    def _file(self) -> Path:
        return self._tree / MODELS_CONFIG

    def _config(self) -> Any:
        """What the server is to serve as long as nothing is changed."""
        return read_models(self._file.read_text(encoding="utf-8"))

    def _serve_only(self, name: str, versions: list[int]) -> None:
        config = self._config()
        Listed(tuple(versions)).write(policy_of(config, name))
        self._configure(config)

    def _configure(self, config: Any) -> None:
        """Have the server serve this, and look at its folders. What it had besides is unloaded."""
        insist_on_ours_alone(self._server, self._tree, self._said)  # every time: a model may have come meanwhile
        self._control.configure(config)
