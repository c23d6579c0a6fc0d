"""What TF Serving's ModelService is told, against a server that answers as the test says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from contract.errors import ServerError
from serving.engines.tfserving_control import TfServingControl
from tests.builders import server


class Scripted(model_service_pb2_grpc.ModelServiceServicer):
    """Keeps what it is configured with; answers with a refusal, or fails, where it has words for that."""

    def __init__(self, refusal: str = "", failure: str = "") -> None:
        self.refusal = refusal
        self.failure = failure
        self.configured: list[Any] = []

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        self.configured.append(request.config)
        if self.failure:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.failure)
        response = model_management_pb2.ReloadConfigResponse()
        if self.refusal:
            response.status.error_code, response.status.error_message = 3, self.refusal
        return response


@contextmanager
def served(script: Scripted) -> Iterator[TfServingControl]:
    listening = grpc.server(ThreadPoolExecutor(2))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(script, listening)
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    try:
        yield TfServingControl(server(engine="tfserving", ports={"grpc": port, "rest": 1}))
    finally:
        listening.stop(None).wait()


@pytest.fixture
def config() -> Any:
    found = model_server_config_pb2.ModelServerConfig()
    found.model_config_list.config.add(name="keras", base_path="/models/keras", model_platform="tensorflow")
    return found


def test_a_configuration_arrives_whole(config: Any) -> None:
    with served(script := Scripted()) as control:
        control.configure(config)
    assert script.configured == [config]


@pytest.mark.parametrize("how", ["refusal", "failure"])
def test_a_configuration_that_is_refused_is_told_with_the_servers_words(config: Any, how: str) -> None:
    with (
        served(Scripted(**{how: "no such folder"})) as control,
        pytest.raises(ServerError, match="refused its new configuration: no such folder"),
    ):
        control.configure(config)
