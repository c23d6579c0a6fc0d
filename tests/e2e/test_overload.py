"""More than a server can do: it refuses what it cannot take at once, does the rest, and is itself again soon after."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.codecs import codec_for
from contract.endpoints import Endpoint, Endpoints
from contract.files import read_model
from contract.golden import read_examples
from contract.workspace import Workspace
from loadtest.clients.deadline import with_deadline
from tests.conftest import run_module
from tests.open_loop import OpenLoop, capacity_of, only_right_for, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]

# About ten milliseconds a call on one core, so that a client in Python can ask for more than that.
SLOW = """
import torch

class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.weight = torch.nn.Parameter(torch.randn(1024, 1024) / 32)

    def forward(self, features):
        for _ in range(24):
            features = torch.tanh(features @ self.weight)
        return features[:, :2]

def build():
    return Slow()
"""
MODELS = """
schema_version = 1
target = "26.08"
"""
MODEL = """
[models.{name}]
framework = "pytorch"
source = "slow:build"
formats = ["torchscript"]
engines = ["triton"]
inputs = [{{ name = "features", dtype = "float32", dims = ["batch", 1024], range = [-1, 1] }}]
outputs = [{{ name = "score", dtype = "float32", dims = ["batch", 2] }}]

[models.{name}.batching]
max_batch_size = 2

[models.{name}.batching.queue]
timeout_us = {timeout_us}
allow_timeout_override = true
"""
# Of "patient" only the deadline that comes with a request may drop one, not a moment in which this machine stands.
QUEUES_US = {"slow": 200_000, "patient": 60_000_000}
EXCESS, KEPT = 1.5, 0.85  # load and goodput as shares of the capacity
ATTEMPTS = 5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("overload")
    (root / "slow.py").write_text(SLOW)
    (root / "models.toml").write_text(
        MODELS + "".join(MODEL.format(name=name, timeout_us=timeout_us) for name, timeout_us in QUEUES_US.items())
    )
    flags = ["--config", str(root / "models.toml"), "--workspace", str(root)]
    try:
        for words in (["export"], ["serving", "up"]):
            result = run_module(*words, *flags)
            assert result.returncode == 0, result.stderr
        yield Workspace(root)
    finally:
        run_module("serving", "stop", *flags)


def _endpoint(place: Workspace, model: str, protocol: str) -> Endpoint:
    known = read_model(place.endpoints, Endpoints, "make serve").endpoints
    return next(item for item in known if item.model == model and item.protocol == protocol)


def _load(place: Workspace, protocol: str, rate: float) -> OpenLoop:
    endpoint = _endpoint(place, "slow", protocol)
    golden = read_examples(place.root / endpoint.golden)
    name, outputs = endpoint.served_name, endpoint.outputs
    return OpenLoop("triton", protocol, endpoint.address, name, outputs, {"right": golden}, rate)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_above_capacity_a_server_sheds_keeps_its_goodput_and_recovers(place: Workspace, protocol: str) -> None:
    refused = {"http": "error: RuntimeError 503", "grpc": "error: UNAVAILABLE"}[protocol]
    # What else runs here slows a measurement of the capacity and then goes, or the other way round: a load is only
    # above capacity if it is seen to be, so both are measured again, five times at most.
    for _ in range(ATTEMPTS):
        capacity = capacity_of(_load(place, protocol, rate=0.001))
        with _load(place, protocol, rate=EXCESS * capacity) as above:
            time.sleep(4.0)
        counted = above.counted()
        goodput = counted["right"] / 4.0
        # Refused requests cost the server and this machine something too. (A limited queue length fails: it stalls.)
        if counted[refused] and goodput >= KEPT * capacity:
            break
    assert set(counted) == {"right", refused}, counted
    assert "Request timeout expired" in above.errors[0]
    assert goodput >= KEPT * capacity, f"{goodput:.0f} of {capacity:.0f} answers per second"
    with _load(place, protocol, rate=0.4 * capacity) as below:
        recovered = wait_for(lambda: only_right_for(below, seconds=2.0), seconds=15.0)
    assert recovered, below.counted()


@pytest.mark.parametrize(("timeout_ms", "at_once", "expired"), [(20, 16, True), (10_000, 3, False)])
def test_triton_is_told_over_http_how_long_an_answer_may_take(
    place: Workspace, timeout_ms: int, at_once: int, expired: bool
) -> None:
    endpoint = _endpoint(place, "patient", "http")
    example = next(item for item in read_examples(place.root / endpoint.golden) if item.rows == 1)
    codec = codec_for("triton", "http")
    payload = codec.encode(endpoint.served_name, endpoint.asked_version, example.inputs, endpoint.outputs)
    target = codec.target(endpoint.served_name, endpoint.asked_version)
    body, headers = with_deadline(payload.body, payload.headers, timeout_ms * 1000)

    def ask(_: int) -> str:
        connection = http.client.HTTPConnection(endpoint.address, timeout=30)
        connection.request("POST", target, body, headers)
        text = connection.getresponse().read().decode(errors="replace")
        connection.close()
        return text

    with ThreadPoolExecutor(at_once) as pool:  # ten milliseconds for every two of them, which wait for each other
        answers = list(pool.map(ask, range(at_once)))
    assert any("Request timeout expired" in text for text in answers) == expired


def test_the_queue_policy_is_in_the_repository_that_triton_reads(place: Workspace) -> None:
    text = Path(place.triton_repository / "slow__torchscript" / "config.pbtxt").read_text()
    assert "default_timeout_microseconds: 200000" in text
