"""docker/compose.yaml: what it starts has no rights, is seen on this machine only, and does not change by itself."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.engines import tensorflow_serving, triton
from tests.compose_stack import FILE, ROOT, VARIABLE, Stack, compose, file, of_profile, services, text

NAMES = sorted(services())
PROFILES = ("cpu", "gpu", "observe", "load")
WRITABLE = {"load": ["/workspace/results"]}  # folders of this machine, by service
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("profiles", [*itertools.combinations(PROFILES, 1), *itertools.combinations(PROFILES, 2)])
def test_each_choice_of_profiles_renders(profiles: tuple[str, ...]) -> None:
    result = Stack("rendered", compose(), {"WORKSPACE": "/workspace"}).run(
        *(word for profile in profiles for word in ("--profile", profile)), "config"
    )
    assert result.returncode == 0, result.stderr
    rendered = yaml.safe_load(result.stdout)["services"]
    wanted = {name for profile in profiles for name in of_profile(profile)}
    assert wanted <= rendered.keys()  # Compose 1.29 shows the others too
    assert all(service["read_only"] for service in rendered.values())


def test_a_workspace_that_nobody_names_is_refused_by_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKSPACE", raising=False)
    result = Stack("refused", compose(), {}).run("config")
    assert result.returncode != 0
    assert "is not set: it is the absolute path of the workspace" in result.stderr


def test_every_variable_but_the_workspace_has_a_default() -> None:
    without = {found[1] for found in VARIABLE.finditer(text()) if found[2] != "-"}
    assert without == {"WORKSPACE"}


def test_nothing_is_started_that_no_profile_asks_for() -> None:
    assert {profile for name in NAMES for profile in services()[name]["profiles"]} == set(PROFILES)


@pytest.mark.parametrize("name", NAMES)
def test_a_container_has_no_rights_and_no_disk_of_its_own(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True and "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}


def mount(volume: str | dict[str, Any]) -> list[str]:
    """Source, target and, where nothing may be written, ``ro``: of either form."""
    if isinstance(volume, str):
        return volume.split(":")
    return [volume["source"], volume["target"], *(["ro"] if volume.get("read_only") else [])]


@pytest.mark.parametrize("name", NAMES)
def test_a_container_writes_into_no_folder_of_this_machine_but_results(name: str) -> None:
    mounts = [mount(volume) for volume in services()[name].get("volumes", [])]
    assert not any("docker.sock" in found[0] for found in mounts)
    bound = [found for found in mounts if found[0][0] in "./"]
    assert [found[0] for found in bound if found[2:] != ["ro"]] == WRITABLE.get(name, [])
    assert {found[0] for found in mounts if found not in bound} <= file()["volumes"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_a_version_that_does_not_move_and_ours_is_the_projects(name: str) -> None:
    image, _, tag = services()[name]["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), services()[name]["image"]
    if image.startswith("loadproof/"):
        assert tag == VERSION
        assert (FILE.parent / f"{image.removeprefix('loadproof/')}.Dockerfile").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_port_is_published_on_loopback_only(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in services()[name].get("ports", []))


def test_servers_are_found_at_the_ports_that_the_commands_take_for_usual() -> None:
    published = {
        int(port.rpartition(":")[2]) for name in of_profile("cpu") for port in services()[name].get("ports", [])
    }
    assert published == {*triton.USUAL_PORTS.values(), *tensorflow_serving.USUAL_PORTS.values()}


@pytest.mark.parametrize("name", NAMES)
def test_who_needs_a_server_waits_until_it_is_healthy(name: str) -> None:
    for needed, how in services()[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        service = services()[needed]
        assert set(service["profiles"]) == set(services()[name]["profiles"])
        assert "test" in service["healthcheck"] or "\nHEALTHCHECK " in _dockerfile(service["image"])


def _dockerfile(image: str) -> str:
    name = image.removeprefix("loadproof/").partition(":")[0]
    return Path(FILE.parent / f"{name}.Dockerfile").read_text(encoding="utf-8")


def test_a_gpu_changes_images_and_devices_and_nothing_else() -> None:
    for name in of_profile("cpu"):
        there = {**services()[f"{name}-gpu"], "profiles": ["cpu"]}
        here = dict(services()[name])
        devices = there.pop("deploy", None)
        assert (devices is None) == (name == "worker")
        for service in (here, there):
            del service["image"]
            service["depends_on"] = {key.removesuffix("-gpu") for key in service.get("depends_on", {})}
        assert here == there


def test_every_gpu_is_reserved_by_the_servers_of_its_profile() -> None:
    (reserved,) = services()["triton-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_the_server_with_published_flaws_is_in_a_network_that_nobody_answers_to() -> None:
    assert set(file()["networks"]) == {"serving"}
    assert all(set(services()[name]["networks"]) == {"serving"} for name in NAMES)
    options = file()["networks"]["serving"]["driver_opts"]
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert options["com.docker.network.bridge.host_binding_ipv4"] == "127.0.0.1"


def test_workers_come_back_for_the_next_load_and_the_load_does_not() -> None:
    assert services()["worker"]["restart"] == "unless-stopped"
    assert services()["load"]["restart"] == "no"
    assert services()["worker"]["command"][-1] == "load"  # its name in the network
