"""What `make up`, `make inside` and `make down` would do, as make itself tells it; nothing is started."""

from __future__ import annotations

import pytest

from serving.engines.tensorflow_serving import GPU_IMAGE
from tests.making import told


@pytest.mark.parametrize("profile", ["cpu", "gpu", "cpu observe", "observe"])
def test_up_starts_every_profile_that_is_asked_for_in_one_project(profile: str) -> None:
    said = told("up", f"PROFILE={profile}", "PROJECT=here")
    flags = " ".join(f"--profile {name}" for name in profile.split())
    assert f"--project-name here --file docker/compose.yaml {flags} up --detach" in said


def test_up_with_servers_lays_out_the_repository_first_and_proves_every_endpoint_at_last() -> None:
    said = told("up", "PROFILE=cpu", "WORKERS=3", "PROJECT=here")
    order = ["-m serving stop", "-m serving repository", "--scale worker=3", "-m serving up"]
    places = [said.index(step) for step in order]
    assert places == sorted(places)


def test_the_images_of_a_gpu_can_use_one() -> None:
    built = {line.partition("docker/")[2].partition(".")[0]: line for line in told("image", "PROFILE=gpu").split(";")}
    assert f"--build-arg BASE={GPU_IMAGE} " in built["tfserving"]
    assert "tensorflow[and-cuda]" in built["triton"]
    assert "-gpu" not in told("image", "IMAGES=tfserving")
    assert "--build-arg BASE='mine'" in told("image", "PROFILE=gpu", "IMAGES=tfserving", "BASE=mine")
    assert GPU_IMAGE not in told("image", "PROFILE=gpu", "IMAGES=tfserving", "BASE=mine")


def test_dashboards_alone_touch_no_server() -> None:
    said = told("up", "PROFILE=observe", "PROJECT=here")
    assert "serving repository" not in said and "serving stop" not in said


def test_inside_and_down_speak_of_the_project_that_up_started() -> None:
    for target in ("up", "inside", "down"):
        assert "--project-name here " in told(target, "PROJECT=here")
