"""What every Dockerfile keeps to, read from the files, and what the image locks are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from bootstrap import IMAGES
from serving.engines import tensorflow_serving
from serving.layout import releases
from tests.import_closure import brought_by, reached_from

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
ALL = sorted(path.name.removesuffix(".Dockerfile") for path in DOCKER.glob("*.Dockerfile"))
# Adds models to a finished image: user, health check and lock are that image's.
IMAGES_OF_OURS = [name for name in ALL if name != "models"]
SOURCES = ("contract", "export", "loadtest", "report", "serving", "tune", "zoo")
# Images of whole rooms, with what these can import and the image is not given: nothing of it is asked for there.
OF_ROOMS = {"export": set[str](), "loadtest": {"tensorflow", "tensorboard"}}  # the stand-in; logs of the report
FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "onnx", "onnxruntime", "tensorboard", "nvidia-pytriton"}


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str


def instructions(name: str) -> list[Instruction]:
    """The file's instructions, with lines that go on joined and comments dropped."""
    text = (DOCKER / f"{name}.Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).splitlines()
    return [Instruction(*line.split(None, 1)) for line in lines if line.strip()]


def those(name: str, word: str) -> list[str]:
    return [item.rest for item in instructions(name) if item.word == word]


def last_stage(name: str) -> list[Instruction]:
    found = instructions(name)
    begins = max(place for place, item in enumerate(found) if item.word == "FROM")
    return found[begins:]


def arguments(name: str) -> dict[str, str]:
    """Build arguments with their defaults."""
    pairs = (item.partition("=") for item in those(name, "ARG"))
    return {key: value.strip('"') for key, _, value in pairs}


@pytest.mark.parametrize("name", ALL)
def test_the_base_is_an_argument_with_a_pinned_tag(name: str) -> None:
    assert those(name, "FROM")[0].startswith("${BASE}")
    asked = arguments(name)
    base = asked["BASE"].replace("${RELEASE}", asked.get("RELEASE", ""))
    assert re.search(r":\d[\w.-]*$", base), base


@pytest.mark.parametrize("name", IMAGES_OF_OURS)
def test_what_runs_is_no_root_and_has_a_number_that_kubernetes_can_check(name: str) -> None:
    user = [item.rest for item in last_stage(name) if item.word == "USER"][-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@pytest.mark.parametrize("name", IMAGES_OF_OURS)
def test_health_is_checked_or_said_to_be_nothing_to_check(name: str) -> None:
    (check,) = those(name, "HEALTHCHECK")
    assert check == "NONE" or "CMD [" in check


@pytest.mark.parametrize("name", IMAGES_OF_OURS)
def test_packages_are_installed_before_sources_are_copied_so_that_a_change_of_code_installs_nothing(name: str) -> None:
    found = instructions(name)
    installs = [place for place, item in enumerate(found) if item.word == "RUN" and "pip install" in item.rest]
    sources = [
        place
        for place, item in enumerate(found)
        if item.word == "COPY" and item.rest.split("/")[0].split()[0] in SOURCES
    ]
    assert not installs or not sources or max(installs) < min(sources)


@pytest.mark.parametrize("name", [name for name in ALL if any("pip install" in run for run in those(name, "RUN"))])
def test_what_installs_packages_takes_them_from_any_index_and_in_the_locks_versions(name: str) -> None:
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"} <= set(arguments(name))
    installs = re.findall(r"pip install ([^&;]*)", " ".join(those(name, "RUN")))
    assert all(re.search(r"-[cr] /tmp/\w+\.lock", words) for words in installs), installs
    assert all("--no-cache-dir" in words for words in installs)


@pytest.mark.parametrize("name", OF_ROOMS)
def test_an_image_has_every_room_and_every_package_that_the_rooms_in_it_can_import(name: str) -> None:
    copied = {item.split()[0] for item in those(name, "COPY")} & set(SOURCES)
    found = reached_from(copied - {"contract"})  # of which a room takes what it needs
    assert found.rooms == copied
    given = brought_by(ROOT / "requirements" / f"{name}.lock")
    missing = {module: file.name for module, file in found.others.items() if module not in given}
    assert missing.keys() == OF_ROOMS[name], missing


@pytest.mark.parametrize("name", ["triton", "triton-cpu"])
def test_both_images_of_triton_have_every_backend_beside_the_shared_part(name: str) -> None:
    backends = sorted(path.parent.name for path in (ROOT / "serving" / "backends").glob("*/model.py"))
    copied = [item for item in those(name, "COPY") if "serving/backends/" in item]
    assert copied == [
        f"serving/backends/*.py serving/backends/{backend}/model.py /opt/tritonserver/backends/{backend}/"
        for backend in backends
    ]


def test_the_release_that_production_is_built_on_has_no_known_flaws_and_older_ones_are_refused() -> None:
    assert releases.parse(arguments("triton")["RELEASE"]) >= releases.FIRST_WITHOUT_KNOWN_FLAWS
    year, month = releases.FIRST_WITHOUT_KNOWN_FLAWS
    assert f"{year}.{month:02}" in " ".join(those("triton", "RUN"))


def test_serving_in_docker_takes_the_release_of_tf_serving_that_the_image_and_the_cluster_take() -> None:
    assert arguments("tfserving")["BASE"] == tensorflow_serving.IMAGE
    assert f"image: {tensorflow_serving.IMAGE}\n" in (ROOT / "k8s/base/tfserving/deployment.yaml").read_text()


def test_the_context_is_the_sources_and_nothing_that_a_stage_wrote() -> None:
    sent = exclude_paths(str(ROOT), (ROOT / ".dockerignore").read_text().splitlines())
    files = {path for path in sent if (ROOT / path).is_file()}
    assert {path.split("/")[0] for path in files} == {*SOURCES, "docker", "requirements", ".dockerignore"}
    assert not [path for path in files if path.startswith("zoo/out/") or path.endswith(".pyc")]


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_an_image_is_given_versions_that_were_tested_together(name: str) -> None:
    tested = set((ROOT / "requirements" / "cpu.lock").read_text().splitlines())
    given = [line for line in (ROOT / "requirements" / f"{name}.lock").read_text().splitlines() if "==" in line]
    assert given
    assert [line for line in given if line not in tested] == []


def test_the_load_generator_is_given_no_framework() -> None:
    given = (ROOT / "requirements" / "loadtest.lock").read_text().splitlines()
    assert {line.split("==")[0] for line in given} & FRAMEWORKS == set()
