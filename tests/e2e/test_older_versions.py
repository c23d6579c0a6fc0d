"""What a start serves beside the newest export, where `triton.versions` asks for it: versions that answer rightly."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from contract.endpoints import Servers
from contract.files import read_model, sha256_tree, write_json
from contract.manifest import Manifest
from contract.triton_control import TritonControl
from serving.places.ports import host_port
from tests.stage import TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}triton = {{ versions = 2 }}\n"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Stage]:
    """Version 1 was served, and version 2 was exported since, with other weights."""
    with served_on(Stage(tmp_path_factory.mktemp("older")), copy_zoo, MODELS) as stage:
        weights = stage.root / "zoo/out/sentiment_torch/weights.safetensors"
        save_file({name: 1.5 * values for name, values in load_file(weights).items()}, weights)
        stage.do("export")
        yield stage


def ready(stage: Stage) -> list[int]:
    """Which versions Triton serves."""
    (triton,) = read_model(stage.workspace.servers, Servers, "make serve").servers
    control = TritonControl(host_port(triton.host, triton.ports["http"]))
    return [version for version in (1, 2, 3) if control.ready("torch__onnx", version)]


def spoil(folder: Path) -> None:
    """Other weights, of which the manifest says that they were proven."""
    manifest = read_model(folder / "manifest.json", Manifest, "make export")
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(2 * array, tensor.name))
    onnx.save(model, folder / "model.onnx")
    record = manifest.formats["onnx"].model_copy(update={"sha256": sha256_tree(folder / "model.onnx")})
    write_json(folder / "manifest.json", manifest.model_copy(update={"formats": {"onnx": record}}))


def test_a_start_serves_the_versions_that_a_roll_leaves_served(stage: Stage) -> None:
    stage.do("serving", "roll")
    assert ready(stage) == [1, 2]
    stage.do("serving", "stop")
    stage.do("serving", "up")
    assert ready(stage) == [1, 2]
    assert {endpoint.version for endpoint in stage.endpoints()} == {2}  # what a load test asks for
    assert not list(stage.workspace.live.glob("payloads/triton/torch__onnx/*-1"))


def test_an_older_version_that_answers_otherwise_than_it_was_proven_ends_the_start(stage: Stage) -> None:
    stage.do("serving", "stop")
    folder = stage.workspace.artifacts / "torch" / "1"
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    try:
        spoil(folder)
        started = stage.run("serving", "up")
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert started.returncode == 5
    assert "version 1 of torch__onnx, which is served beside version 2, does not agree" in started.stderr
    assert "nothing runs" in stage.run("serving", "status").stdout
