"""How long Triton is given: a model that loads may be building TensorRT's engines, every other answer comes at once."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
import yaml

from contract.errors import ServerError
from contract.triton_control import LOAD_S, TritonControl
from tests.builders import free_port
from tests.conftest import ROOT

BUILD_S = 15 * 60.0  # what TensorRT may take


@pytest.fixture
def given_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each call gave the server."""
    found: list[float] = []

    class Noted(http.client.HTTPConnection):
        def __init__(self, address: str, timeout: float) -> None:
            found.append(timeout)
            super().__init__(address, timeout=timeout)

    monkeypatch.setattr(http.client, "HTTPConnection", Noted)
    return found


def test_a_load_may_take_as_long_as_tensorrt_builds_engines(given_s: list[float]) -> None:
    control = TritonControl(f"127.0.0.1:{free_port()}")
    with pytest.raises(ServerError, match="did not answer POST /v2/repository/models/words__onnx/load"):
        control.load("words__onnx")
    assert given_s == [BUILD_S]
    assert not control.ready("words__onnx") and not control.live()
    assert max(given_s[1:]) <= 30.0


def test_a_pod_is_given_as_long_as_its_load_may_take_and_its_rollout_longer() -> None:
    document: dict[str, Any] = yaml.safe_load((ROOT / "k8s/base/triton/deployment.yaml").read_text())["spec"]
    (server,) = document["template"]["spec"]["containers"]
    granted_s = server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"]
    assert granted_s >= LOAD_S
    assert document["progressDeadlineSeconds"] > granted_s
