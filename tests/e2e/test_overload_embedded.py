"""More than the embedded TF Serving can do: its queue refuses what it cannot take, and the rest is answered."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from contract.golden import Example
from contract.tensors import Array, TensorSpec
from tests.builders import free_port
from tests.conftest import ROOT
from tests.open_loop import OpenLoop, capacity_of, only_right_for, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]

# About ten milliseconds a call on one core: asking for more than that, and refusing it, costs Python little beside it.
WIDTH, LAYERS, SEED = 1024, 96, 7
MAKE = """
import sys, numpy as np, tensorflow as tf
weight = tf.constant(np.load(sys.argv[1]))
class Slow(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, weight.shape[0]], tf.float32, name="features")])
    def call(self, features):
        for _ in range(int(sys.argv[3])):
            features = tf.tanh(features @ weight)
        return {"score": features[:, :2]}
slow = Slow()
tf.saved_model.save(slow, sys.argv[2], signatures=slow.call)
"""
BATCHING = """
max_batch_size { value: 2 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 8 }
num_batch_threads { value: 1 }
"""
FULL = "The batch scheduling queue to which this task was submitted is full; currently 8 batches enqueued"
SCORE = TensorSpec(name="score", dtype="float32", dims=["batch", 2])
STARTS_S = 180.0
LASTS_S = 4.0
EXCESS, KEPT = 1.5, 0.85  # load and goodput as shares of the capacity
ATTEMPTS = 5


@dataclass
class Served:
    """The server, and requests with answers that were worked out without it."""

    addresses: dict[str, str]
    golden: list[Example]

    def load(self, protocol: str, rate: float) -> OpenLoop:
        """``rate`` requests per second."""
        return OpenLoop("tfserving", protocol, self.addresses[protocol], "slow", [SCORE], {"right": self.golden}, rate)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("overload")
    weight = np.random.default_rng(SEED).normal(size=(WIDTH, WIDTH)).astype(np.float32) / 32
    np.save(folder / "weight.npy", weight)
    (folder / "batching.config").write_text(BATCHING)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, "-c", MAKE, str(folder / "weight.npy"), str(folder / "slow" / "1"), str(LAYERS)]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    ports = {"grpc": free_port(), "rest": free_port()}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(_command(folder, ports), cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        assert wait_for(lambda: "stand-in ready" in log.read_text() or process.poll() is not None, STARTS_S)
        assert process.poll() is None, log.read_text()
        addresses = {protocol: f"127.0.0.1:{port}" for protocol, port in ports.items()}
        yield Served(addresses, [_example(number, weight) for number in range(8)])
    finally:
        process.terminate()
        process.wait(30)


def _command(folder: Path, ports: dict[str, int]) -> list[str]:
    flags = {
        "port": ports["grpc"],
        "rest_api_port": ports["rest"],
        "model_name": "slow",
        "model_base_path": folder / "slow",
        "enable_batching": "true",
        "batching_parameters_file": folder / "batching.config",
        "tensorflow_intra_op_parallelism": 1,
        "grpc_max_threads": 64,  # a call in the queue holds one: with fewer than fill the queue, it is never full
    }
    return [sys.executable, "-m", "serving.tfserving", *(f"--{name}={value}" for name, value in flags.items())]


def _example(number: int, weight: Array) -> Example:
    features = np.random.default_rng(number).uniform(-1, 1, (1, WIDTH)).astype(np.float32)
    scores = features
    for _ in range(LAYERS):
        scores = np.tanh(scores @ weight)
    return Example(f"r{number:04d}", {"features": features}, {"score": scores[:, :2]})


@pytest.mark.parametrize(("protocol", "refused"), [("rest", "error: RuntimeError 503"), ("grpc", "error: UNAVAILABLE")])
def test_above_capacity_the_queue_refuses_in_the_known_words_and_the_rest_is_answered(
    served: Served, protocol: str, refused: str
) -> None:
    # What else runs here slows a measurement of the capacity and then goes, or the other way round: a load is only
    # above capacity if it is seen to be, so both are measured again, five times at most.
    for _ in range(ATTEMPTS):
        capacity = capacity_of(served.load(protocol, rate=0.001))
        with served.load(protocol, rate=EXCESS * capacity) as above:
            time.sleep(LASTS_S)
        counted = above.counted()
        goodput = counted["right"] / LASTS_S
        if counted[refused] and goodput >= KEPT * capacity:
            break
    assert set(counted) == {"right", refused}, counted
    assert all(FULL in error for error in above.errors), above.errors[0]
    assert goodput >= KEPT * capacity, f"{goodput:.0f} of {capacity:.0f} answers per second"
    with served.load(protocol, rate=0.4 * capacity) as below:
        recovered = wait_for(lambda: only_right_for(below, seconds=2.0), seconds=15.0)
    assert recovered, below.counted()
