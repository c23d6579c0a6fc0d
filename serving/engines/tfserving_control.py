"""TF Serving's ModelService: what a server is to serve. It imports TensorFlow: only who configures a server loads it.

Works alike on tensorflow_model_server and on the embedded server: ReloadConfigRequest.
"""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from contract.endpoints import ServerRecord
from contract.errors import ServerError
from serving.places.ports import host_port

CALL_S = 180.0  # as long as a load may take


class TfServingControl:
    """One server."""

    def __init__(self, server: ServerRecord) -> None:
        self._address = host_port(server.host, server.ports["grpc"])

    def configure(self, config: Any) -> None:
        """Have it serve what a ModelServerConfig says, and nothing else. Raises ServerError where it refuses."""
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(config)
        with grpc.insecure_channel(self._address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            try:
                response = stub.HandleReloadConfigRequest(request, timeout=CALL_S, wait_for_ready=True)
            except grpc.RpcError as error:
                detail = error.details() if hasattr(error, "details") else error
                raise ServerError(f"TF Serving at {self._address} refused its new configuration: {detail}") from None
        if response.status.error_code:
            raise ServerError(f"TF Serving refused its new configuration: {response.status.error_message}")
