"""What is started as Triton: NVIDIA's container or an address, with flags that the release takes."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from contract.errors import UsageError
from serving.choosing import choice_of
from serving.engines import triton
from serving.engines.image_release import VARIABLE
from serving.places import docker as place_docker
from serving.places.launch import Launch
from tests.builders import workspace
from tests.conftest import ROOT


def docker_launch(tmp_path: Path, target: str = "26.08", image: str | None = None) -> Launch:
    return triton.launch(workspace(tmp_path), "docker", target, image)


@pytest.mark.parametrize(("target", "knows"), [("24.10", False), ("25.05", False), ("25.06", True), ("26.08", True)])
def test_a_container_gets_only_flags_that_its_release_knows(tmp_path: Path, target: str, knows: bool) -> None:
    made = docker_launch(tmp_path, target)
    assert made.image == f"nvcr.io/nvidia/tritonserver:{target}-py3"
    assert any(word.startswith("--http-max-input-size") for word in made.command) == knows
    assert "--model-control-mode=explicit" in made.command
    assert "--disable-auto-complete-config" in made.command


class Images:
    """An engine that has one image, whose variables are these."""

    def __init__(self, *variables: str) -> None:
        self.images = self
        self.attrs = {"Config": {"Env": list(variables)}}

    def get(self, name: str) -> Images:
        if name != "mine:1":
            raise docker.errors.ImageNotFound(name)
        return self


def test_an_image_of_ones_own_takes_the_place_of_nvidias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_docker, "_client", Images)
    assert docker_launch(tmp_path, image="mine:1").image == "mine:1"


@pytest.mark.parametrize(
    ("variables", "target", "knows"),
    [
        (["PATH=/bin", "NVIDIA_TRITON_SERVER_VERSION=24.10"], "26.08", False),
        (["NVIDIA_TRITON_SERVER_VERSION=26.08"], "24.10", True),
        (["NVIDIA_TRITON_SERVER_VERSION=26.08dev"], "24.10", False),
        ([], "26.08", True),
        ([], "24.10", False),
    ],
)
def test_an_image_gets_the_flags_of_the_release_that_it_says_it_is_and_else_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: list[str], target: str, knows: bool
) -> None:
    monkeypatch.setattr(place_docker, "_client", lambda: Images(*variables))
    command = docker_launch(tmp_path, target, "mine:1").command
    assert any(word.startswith("--http-max-input-size") for word in command) == knows


def test_an_image_that_is_not_there_is_left_to_the_start_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_docker, "_client", Images)
    assert docker_launch(tmp_path, image="mine:2").image == "mine:2"


def test_this_projects_image_says_its_release_where_it_is_looked_for() -> None:
    (said,) = re.findall(rf"{VARIABLE}=(\S+)", (ROOT / "docker" / "triton-cpu.Dockerfile").read_text())
    assert said == triton.WHEEL_RELEASE


@pytest.mark.parametrize(("device", "gpus"), [("cpu", False), ("gpu:NVIDIA L4", True)])
def test_a_container_gets_the_gpus_where_there_are_any_and_memory_to_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, gpus: bool
) -> None:
    monkeypatch.setattr(triton, "device", lambda: device)
    asked: list[dict[str, Any]] = []

    class Engine:
        id, short_id = "c0ffee", "c0ff"

        def create(self, image: str, **options: Any) -> Engine:
            asked.append(options)
            return self

        def get(self, image: str) -> Engine:
            return self

        def start(self) -> None:
            pass

    engine = Engine()
    monkeypatch.setattr(place_docker, "_client", lambda: type("Client", (), {"containers": engine, "images": engine}))
    made = docker_launch(tmp_path).model_copy(update={"cores": [0, 1]})
    above = workspace(tmp_path).triton_repository.parent
    above.mkdir()
    above.chmod(0o755)
    place_docker.start(made)
    (options,) = asked
    assert ("device_requests" in options) == gpus
    assert (options["shm_size"], options["cpuset_cpus"]) == ("1024m", "0,1")
    assert options["ports"]["8000/tcp"] == ("127.0.0.1", made.ports["http"])
    # The tree is swapped by a rename, which a mount of it would not see.
    assert options["volumes"] == {str(above): {"bind": str(above), "mode": "ro"}}
    assert f"--model-repository={workspace(tmp_path).triton_repository}" in options["command"]


def test_a_server_at_an_address_is_started_by_nobody(tmp_path: Path) -> None:
    made = triton.launch(workspace(tmp_path), "http://gpu1,grpc://gpu1:9001", "26.08")
    assert (made.command, made.host, made.ports["http"], made.ports["grpc"]) == ([], "gpu1", 8000, 9001)


def test_a_way_to_run_triton_that_nobody_knows_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown Triton 'podman': one of process, docker, or http://HOST:PORT"):
        choice_of(argparse.Namespace(triton="podman"), [])
