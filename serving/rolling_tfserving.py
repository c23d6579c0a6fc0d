"""How one model of a running TF Serving gets a new version: its ModelService, and the folders that it watches.

Works alike on tensorflow_model_server and on the embedded server: ReloadConfigRequest, GetModelStatus. A server that
somebody else runs is left as it is where a configuration of ours could take models of theirs away.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from contract.endpoints import ServerRecord
from contract.errors import LoadproofError, ServerError
from contract.workspace import Workspace
from serving.ports import host_port
from serving.repository import Served, copy_whole
from serving.tfserving_neighbours import insist_on_ours_alone

LOAD_S = 180.0
BRIDGE = 1_000_000_000  # added to a version: what answers while that version is loaded once more; no export is so new


class TfServingRoller:
    """Works on the base paths that the server watches."""

    gap = "requests that name no version were answered meanwhile; those that name it were refused for a moment"

    def __init__(self, server: ServerRecord, workspace: Workspace) -> None:
        self._server = server
        self._address = host_port(server.host, server.ports["grpc"])
        self._tree = workspace.tfserving_repository

    def load_candidate(self, candidate: Served) -> None:
        """Load the new version as a model of its own. Raises ServerError where the server cannot, UsageError where it
        may hold what is not ours.
        """
        folder = self._tree / candidate.name
        shutil.rmtree(folder, ignore_errors=True)
        copy_whole(candidate.artifact, folder / str(candidate.version))
        self._reload({candidate.name: folder})
        self._wait(candidate.name, candidate.version)

    def drop_candidate(self, candidate: Served) -> None:
        """Unload it and remove its files."""
        with contextlib.suppress(
            LoadproofError
        ):  # the server is gone, or complains of something else that is configured
            self._reload({})
        shutil.rmtree(self._tree / candidate.name, ignore_errors=True)

    def publish(self, item: Served) -> float:
        """Put the version where the server looks; it loads it, then unloads the older. Seconds until available."""
        started = time.monotonic()
        copy_whole(item.artifact, self._tree / item.name / str(item.version))
        try:
            self._reload({})
            self._wait(item.name, item.version)
        except LoadproofError:
            self.take_back(item)
            raise
        return round(time.monotonic() - started, 2)

    def take_back(self, item: Served) -> None:
        """Remove the version again."""
        shutil.rmtree(self._tree / item.name / str(item.version), ignore_errors=True)
        self._reload({})

    def retire(self, item: Served) -> None:
        """Remove the files of versions that are no longer served."""
        folder = self._tree / item.name
        versions = sorted(int(child.name) for child in folder.iterdir() if child.name.isdigit())
        for version in versions[:-1]:
            shutil.rmtree(folder / str(version), ignore_errors=True)

    def renew(self, name: str, version: int) -> float:
        """Load a version once more, while the same files answer as another version; seconds that all of it took.

        TF Serving never loads a version that it holds. So a newer one comes, for which it lets the old go, and goes
        again, for which it first brings the old back.
        """
        insist_on_ours_alone(self._server, self._tree)  # before it can find the bridge by itself
        started = time.monotonic()
        folder = self._tree / name / str(version)
        bridge = self._tree / name / str(BRIDGE + version)
        try:
            if not bridge.exists():  # else somebody was interrupted at just this
                copy_whole(folder, bridge)
            self._reload({})
            self._wait(name, BRIDGE + version)
            self._wait(name, version, available=False)
        finally:
            shutil.rmtree(bridge, ignore_errors=True)
            self._reload({})
        self._wait(name, version)
        return round(time.monotonic() - started, 2)

    def _reload(self, more: dict[str, Path]) -> None:
        """Have the server look at its configuration, and at ``more`` models, now. What it had besides is unloaded."""
        insist_on_ours_alone(self._server, self._tree)  # every time: a model may have come meanwhile
        text = (self._tree / "models.config").read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        for name, base in more.items():
            config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(config)
        response = self._call("HandleReloadConfigRequest", request)
        if response.status.error_code:
            raise ServerError(f"TF Serving refused its new configuration: {response.status.error_message}")

    def _wait(self, name: str, version: int, available: bool = True) -> None:
        """Wait until the version is available, or is not. Raises ServerError with the reason when its load fails."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        request.model_spec.version.value = version
        deadline = time.monotonic() + LOAD_S
        while time.monotonic() < deadline:
            (found,) = self._call("GetModelStatus", request).model_version_status
            state = get_model_status_pb2.ModelVersionStatus.State.Name(found.state)
            if (state == "AVAILABLE") == available:
                return
            if state == "END" and found.status.error_code:  # without an error it is the end of an earlier life
                raise ServerError(f"TF Serving could not load it: {found.status.error_message or state}")
            time.sleep(0.1)
        what = "load" if available else "let go of"
        raise ServerError(f"TF Serving did not {what} {name} version {version} within {LOAD_S:.0f} s")

    def _call(self, method: str, request: Any) -> Any:
        with grpc.insecure_channel(self._address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            try:
                return getattr(stub, method)(request, timeout=LOAD_S, wait_for_ready=True)
            except grpc.RpcError as error:
                detail = error.details() if hasattr(error, "details") else error
                raise ServerError(f"TF Serving at {self._address} refused {method}: {detail}") from None
