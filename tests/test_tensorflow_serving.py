"""How TF Serving is started: what it may join, which flags it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.tensors import TensorSpec
from serving.tensorflow_serving import BATCHES, launch, may_batch
from tests.builders import TOKENS, workspace

PIXELS = TensorSpec(name="pixels", dtype="float32", dims=["batch", 28, 28])


def test_requests_are_joined_only_where_every_axis_but_the_batch_is_fixed() -> None:
    assert may_batch([[PIXELS]])
    assert not may_batch([[PIXELS], [TOKENS]])
    assert not may_batch([[PIXELS, TOKENS]])
    assert may_batch([[TensorSpec(name="price", dtype="float32", dims=["batch"])]])


@pytest.mark.parametrize("flavour", ["docker", "embedded"])
@pytest.mark.parametrize("batching", [True, False])
def test_every_flavour_gets_the_same_files(tmp_path: Path, flavour: str, batching: bool) -> None:
    place = workspace(tmp_path)
    command = launch(place, flavour, threads=2, batching=batching).command
    tree = place.tfserving_repository
    assert f"--model_config_file={tree / 'models.config'}" in command
    assert f"--monitoring_config_file={tree / 'monitoring.config'}" in command
    assert (BATCHES in command) == batching
    assert (f"--batching_parameters_file={tree / 'batching.config'}" in command) == batching
