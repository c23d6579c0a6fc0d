"""TF Serving's ModelService: what a server is to serve, and what became of each version.

Works alike on tensorflow_model_server and on the embedded server: ReloadConfigRequest, GetModelStatus.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from contract.endpoints import ServerRecord
from contract.errors import ServerError
from serving.ports import host_port

LOAD_S = 180.0
# The original looks at its folders once a second, whatever it was told meanwhile: until then it knows no new version.
UNKNOWN_S = 10.0
UNKNOWN = "UNKNOWN_VERSION"  # beside the states of ModelVersionStatus


class TfServingControl:
    """One server. What it does not do within ``load_s``, or does not know for ``unknown_s``, is a ServerError."""

    def __init__(self, server: ServerRecord, load_s: float = LOAD_S, unknown_s: float = UNKNOWN_S) -> None:
        self._address = host_port(server.host, server.ports["grpc"])
        self._load_s = load_s
        self._unknown_s = unknown_s

    def configure(self, config: Any) -> None:
        """Have it serve what a ModelServerConfig says, and nothing else. Raises ServerError where it refuses."""
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(config)
        response = self._call("HandleReloadConfigRequest", request)
        if response.status.error_code:
            raise ServerError(f"TF Serving refused its new configuration: {response.status.error_message}")

    def wait_for(self, versions: Iterable[tuple[str, int]]) -> None:
        """Wait until each (model, version) is available: ports open when one version of each model is, whichever."""
        for name, version in versions:
            self.wait(name, version)

    def wait(self, name: str, version: int, available: bool = True) -> None:
        """Wait until the version is available, or is not. Raises ServerError with the reason when its load fails."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < self._load_s:
            state, failure = self._state(name, version)
            if (state == "AVAILABLE") == available:
                return
            if state == "END" and failure:  # without an error it is the end of an earlier life
                raise ServerError(f"TF Serving could not load it: {failure}")
            if state == UNKNOWN and waited > self._unknown_s:
                raise ServerError(f"TF Serving at {self._address} has no {name} version {version}: {failure}")
            time.sleep(0.1)
        what = "load" if available else "let go of"
        raise ServerError(f"TF Serving did not {what} {name} version {version} within {self._load_s:.0f} s")

    def _state(self, name: str, version: int) -> tuple[str, str]:
        """The state of a version, and what it failed of: empty where it did not."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        request.model_spec.version.value = version
        try:
            (found,) = self._call("GetModelStatus", request).model_version_status
        except _NotFoundError as error:
            return UNKNOWN, str(error)
        state = get_model_status_pb2.ModelVersionStatus.State.Name(found.state)
        return state, (found.status.error_message or state) if found.status.error_code else ""

    def _call(self, method: str, request: Any) -> Any:
        with grpc.insecure_channel(self._address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            try:
                return getattr(stub, method)(request, timeout=LOAD_S, wait_for_ready=True)
            except grpc.RpcError as error:
                detail = error.details() if hasattr(error, "details") else error
                not_found = hasattr(error, "code") and error.code() == grpc.StatusCode.NOT_FOUND
                kind = _NotFoundError if not_found else ServerError
                raise kind(f"TF Serving at {self._address} refused {method}: {detail}") from None


class _NotFoundError(ServerError):
    """The server knows no such model or version."""
