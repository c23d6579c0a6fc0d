"""How one model of a running Triton gets a new version: explicit loads, old versions let go by the version policy.

Triton loads what it holds already only where its files have changed, beside what answers, which it lets go afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.endpoints import ServerRecord
from contract.errors import LoadproofError, ServerError
from contract.files import write_text
from contract.triton_control import UNLOAD_S, TritonControl
from contract.workspace import Workspace
from serving.layout.laid_out import versions_in
from serving.layout.repository import Served, write_triton_config, write_triton_version
from serving.layout.triton_config import to_text
from serving.layout.version_policy import Listed
from serving.places.ports import host_port


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
        # By itself, whatever is listed: Triton's log would complain of the versions that are not here. And without
        # warm-up: a Triton of release 24.10 can crash when a python-based backend refuses a warm-up request.
        write_triton_config(_newest_alone(candidate), folder, warm_up=False)
        self._control.load(candidate.name)

    def drop_candidate(self, candidate: Served) -> None:
        """Unload it, if it was loaded, and remove its files."""
        with contextlib.suppress(LoadproofError):  # it never loaded
            self._control.unload(candidate.name)
        shutil.rmtree(self._tree / candidate.name, ignore_errors=True)

    def publish(self, item: Served) -> float:
        """Make it a version of the model; Triton loads it, then unloads the older. Seconds until it was ready.

        With it come the older ones that it holds. Where this fails, it is to be taken back.
        """
        folder = self._tree / item.name
        self._old_config = (folder / "config.pbtxt").read_text(encoding="utf-8")
        for version in (item, *item.older):
            write_triton_version(version, folder)
        write_triton_config(item, folder)
        return round(self._control.load(item.name), 2)

    def take_back(self, item: Served) -> None:
        """Remove what came again, however much did; what was before it is loaded if it is not any more."""
        if not self._old_config:
            return  # nothing came
        folder = self._tree / item.name
        for version in (item, *item.older):
            shutil.rmtree(folder / str(version.version), ignore_errors=True)
        write_text(folder / "config.pbtxt", self._old_config)
        self._control.load(item.name)

    def retire(self, item: Served) -> None:
        """Remove the files of versions that the policy no longer serves."""
        versions = self.laid_out(item.name)
        for version in set(versions) - set(item.policy.kept(versions)):
            shutil.rmtree(self._tree / item.name / str(version), ignore_errors=True)

    def renew(self, name: str, version: int, only: int | None = None) -> float:
        """Load every version of the model once more, or ``only`` one; seconds until they were ready.

        Where one fails, the old go on. A load of files that are as they were is done for Triton, whatever became of the
        model: so their folders get a new time. A new time of config.pbtxt alone changes no more than the number of
        instances, and which versions there are.
        """
        for each in self.laid_out(name):
            if only in (None, each):
                os.utime(self._tree / name / str(each))
        return round(self._control.load(name), 2) if only is None else self.load_version(name, only)

    def load(self, name: str) -> float:
        """Load the model with all versions that its policy serves; seconds until they were ready."""
        return self._control.load(name)

    def unload(self, name: str) -> None:
        """Unload all of its versions, and wait until they are."""
        self._control.unload(name)

    def load_version(self, name: str, version: int) -> float:
        """Load one version beside those that are loaded; seconds until it was ready."""
        return self._serve(name, [*self._loaded(name), version])

    def unload_version(self, name: str, version: int) -> None:
        """Unload one version, which is not the only one that is loaded, and wait until it is."""
        self._serve(name, [each for each in self._loaded(name) if each != version])
        deadline = time.monotonic() + UNLOAD_S
        while self.ready(name, version):
            if time.monotonic() > deadline:
                raise ServerError(f"Triton still holds version {version} of {name} {UNLOAD_S:.0f} s after it was told")
            time.sleep(0.05)

    def ready(self, name: str, version: int) -> bool:
        """Whether a version is loaded, by the server's own account."""
        return self._control.ready(name, version)

    def laid_out(self, name: str) -> list[int]:
        """The versions that lie in a model's folder, oldest first."""
        return versions_in(self._tree / name)

    def _loaded(self, name: str) -> list[int]:
        return [version for version in self.laid_out(name) if self.ready(name, version)]

    def _serve(self, name: str, versions: Iterable[int]) -> float:
        """Have Triton hold just these versions; seconds until they were ready.

        Its API loads and unloads whole models. But a load touches only the versions whose files have changed and those
        that come or go by the version policy (measured on 2.51): so it is told another one for as long as it reads it.
        """
        file = self._tree / name / "config.pbtxt"
        said = file.read_text(encoding="utf-8")
        config = text_format.Parse(said, pb.ModelConfig())
        Listed(tuple(sorted(set(versions)))).write(config.version_policy)
        try:
            write_text(file, to_text(config))
            return round(self._control.load(name), 2)
        finally:
            write_text(file, said)


def _newest_alone(item: Served) -> Served:
    """The same, for a folder that holds no other version."""
    triton = item.model.triton.model_copy(update={"versions": 1})
    return replace(item, model=item.model.model_copy(update={"triton": triton}))
