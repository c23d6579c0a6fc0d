"""What is asked of TF Serving's ModelService, against a server that goes through states as the test says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from contract.errors import ServerError
from serving.tfserving_control import TfServingControl
from tests.builders import server

LONG_S = 60.0  # never waited for
SHORT_S = 0.3


class Scripted(model_service_pb2_grpc.ModelServiceServicer):
    """Says one state after the other, and the last for ever; a state that ModelService has no word for: NOT_FOUND."""

    def __init__(self, *states: str, failure: str = "", refusal: str = "") -> None:
        self.states = list(states)
        self.failure = failure
        self.refusal = refusal
        self.asked: list[tuple[str, int]] = []
        self.configured: list[Any] = []

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        self.asked.append((request.model_spec.name, request.model_spec.version.value))
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state not in get_model_status_pb2.ModelVersionStatus.State.keys():  # noqa: SIM118 - an enum wrapper, no mapping
            context.abort(grpc.StatusCode.NOT_FOUND, "Could not find version 2 of model keras")
        response = get_model_status_pb2.GetModelStatusResponse()
        found = response.model_version_status.add(version=2, state=state)
        if self.failure:
            found.status.error_code, found.status.error_message = 2, self.failure
        return response

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        self.configured.append(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        if self.refusal:
            response.status.error_code, response.status.error_message = 3, self.refusal
        return response


@contextmanager
def served(script: Scripted, load_s: float = LONG_S, unknown_s: float = LONG_S) -> Iterator[TfServingControl]:
    listening = grpc.server(ThreadPoolExecutor(2))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(script, listening)
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    try:
        yield TfServingControl(server(engine="tfserving", ports={"grpc": port, "rest": 1}), load_s, unknown_s)
    finally:
        listening.stop(None).wait()


def test_a_version_that_the_server_has_not_found_yet_is_waited_for() -> None:
    """The original answers a new configuration before it has looked at its folders."""
    with served(script := Scripted("unknown", "unknown", "START", "LOADING", "AVAILABLE")) as control:
        control.wait("keras", 2)
    assert script.asked == [("keras", 2)] * 5


def test_every_version_is_waited_for_whichever_was_there_first() -> None:
    with served(script := Scripted("AVAILABLE", "LOADING", "AVAILABLE")) as control:
        control.wait_for([("keras", 1), ("keras", 2)])
    assert script.asked == [("keras", 1), ("keras", 2), ("keras", 2)]


def test_one_that_it_never_finds_is_said_to_be_unknown_with_the_servers_words() -> None:
    with (
        served(Scripted("unknown"), unknown_s=SHORT_S) as control,
        pytest.raises(ServerError, match=r"has no keras version 2: .*Could not find version 2 of model keras"),
    ):
        control.wait("keras", 2)


def test_one_that_fails_to_load_is_told_at_once_with_its_reason() -> None:
    with (
        served(Scripted("LOADING", "END", failure="a truncated file")) as control,
        pytest.raises(ServerError, match="could not load it: a truncated file"),
    ):
        control.wait("keras", 2)


def test_the_end_of_an_earlier_life_is_no_failure() -> None:
    with served(Scripted("END", "LOADING", "AVAILABLE")) as control:
        control.wait("keras", 2)


@pytest.mark.parametrize("gone", ["UNLOADING", "END", "unknown"])
def test_whatever_is_not_available_was_let_go_of(gone: str) -> None:
    with served(script := Scripted("AVAILABLE", gone)) as control:
        control.wait("keras", 2, available=False)
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("state", "available", "sentence"), [("LOADING", True, "did not load"), ("AVAILABLE", False, "did not let go of")]
)
def test_one_that_does_not_come_or_go_in_time_is_a_sentence(state: str, available: bool, sentence: str) -> None:
    with (
        served(Scripted(state), load_s=SHORT_S) as control,
        pytest.raises(ServerError, match=rf"{sentence} keras version 2 within"),
    ):
        control.wait("keras", 2, available)


def test_a_configuration_arrives_whole_and_its_refusal_is_told() -> None:
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="keras", base_path="/models/keras", model_platform="tensorflow")
    script = Scripted("AVAILABLE", refusal="no such folder")
    with served(script) as control, pytest.raises(ServerError, match="refused its new configuration: no such folder"):
        control.configure(config)
    assert script.configured == [config]
