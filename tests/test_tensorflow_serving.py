"""How TF Serving is started: what it may join, which flags it gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.tensors import TensorSpec
from serving.engines import tensorflow_serving
from serving.engines.tensorflow_serving import (
    BINARY,
    EXPOSED,
    FLAVOURS,
    IMAGE,
    choose_flavour,
    engine_version,
    launch,
    may_batch,
    place_of,
)
from serving.layout.tfserving_config import BATCHES
from serving.places import docker as place_docker
from tests.builders import TOKENS, workspace

VERSION = """TensorFlow ModelServer: 2.20.0-rc0+dev.sha.3a2f4a8
TensorFlow Library: 2.20.0"""  # what the original prints, to stdout
PIXELS = TensorSpec(name="pixels", dtype="float32", dims=["batch", 28, 28])


def test_requests_are_joined_only_where_every_axis_but_the_batch_is_fixed() -> None:
    assert may_batch([[PIXELS]])
    assert not may_batch([[PIXELS], [TOKENS]])
    assert not may_batch([[PIXELS, TOKENS]])
    assert may_batch([[TensorSpec(name="price", dtype="float32", dims=["batch"])]])


@pytest.fixture
def binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of the server's name before all others on PATH, which prints VERSION whatever it is asked."""
    program = tmp_path / "bin" / BINARY
    program.parent.mkdir()
    _prints(program, VERSION)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def _prints(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("flavour", ["binary", "docker", "embedded"])
@pytest.mark.parametrize("batching", [True, False])
def test_every_flavour_gets_the_same_files(tmp_path: Path, flavour: str, batching: bool) -> None:
    place = workspace(tmp_path)
    command = launch(place, flavour, threads=2, batching=batching).command
    tree = place.tfserving_repository
    assert f"--model_config_file={tree / 'models.config'}" in command
    assert f"--monitoring_config_file={tree / 'monitoring.config'}" in command
    assert (BATCHES in command) == batching
    assert (f"--batching_parameters_file={tree / 'batching.config'}" in command) == batching


@pytest.mark.parametrize(
    ("here", "image", "gpus"), [("cpu", IMAGE, False), ("gpu:NVIDIA L4", "tensorflow/serving:2.20.0-gpu", True)]
)
def test_a_machine_with_a_gpu_gets_the_image_that_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, image: str, gpus: bool
) -> None:
    monkeypatch.setattr(tensorflow_serving, "device", lambda: here)
    made = launch(workspace(tmp_path), "docker", threads=1, batching=False)
    assert (made.image, made.gpus) == (image, gpus)
    embedded = launch(workspace(tmp_path), "embedded", threads=1, batching=False)
    assert (embedded.image, embedded.gpus) == (None, False)


@pytest.mark.parametrize(("here", "expected"), [("cpu", "docker"), ("gpu:NVIDIA L4", "embedded")])
def test_auto_does_not_take_the_cpus_image_on_a_machine_with_a_gpu(
    monkeypatch: pytest.MonkeyPatch, here: str, expected: str
) -> None:
    monkeypatch.setattr(tensorflow_serving, "device", lambda: here)
    monkeypatch.setattr(tensorflow_serving, "BINARY", "a server that nobody has")
    monkeypatch.setattr(place_docker, "has_image", lambda image: image == IMAGE)
    assert choose_flavour("auto") == expected


@pytest.mark.parametrize("label", [IMAGE, f"{IMAGE}-gpu"])
def test_the_official_images_tag_is_the_version_of_its_server(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    monkeypatch.setattr(place_docker, "image_label", lambda image: label)
    assert engine_version("docker") == "2.20.0"


def test_the_binary_on_path_is_what_auto_takes_and_a_process_runs(binary: Path, tmp_path: Path) -> None:
    assert choose_flavour("auto") == "binary"
    made = launch(workspace(tmp_path), "binary", threads=1, batching=False)
    assert (made.command[0], made.engine_kind, place_of("binary")) == (str(binary), "real", "process")
    assert {f"--port={made.ports['grpc']}", f"--rest_api_port={made.ports['rest']}"} <= set(made.command)


@pytest.mark.usefixtures("binary")
def test_only_the_binary_listens_beyond_loopback_which_is_said_with_what_to_do(tmp_path: Path) -> None:
    said = {each: launch(workspace(tmp_path), each, threads=1, batching=False).warning for each in FLAVOURS}
    assert said == {"binary": EXPOSED, "docker": None, "embedded": None}
    assert "listens on every interface" in EXPOSED
    assert "block its ports in the firewall, or take '--tfserving docker' or '--tfserving embedded'" in EXPOSED


def test_a_binary_that_is_asked_for_and_not_there_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=f"{BINARY} is not on PATH; install it, or leave the choice with --tfserving"):
        launch(workspace(tmp_path), "binary", threads=1, batching=False)


def test_the_binary_says_its_version_itself(binary: Path) -> None:
    assert engine_version("binary") == "2.20.0-rc0+dev.sha.3a2f4a8"
    _prints(binary, "error while loading shared libraries")
    assert engine_version("binary") == "unknown"
