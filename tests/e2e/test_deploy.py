"""From a report to a deployment as a person types it: lay out for the target, deploy, be refused, look first."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import run_module
from tests.deployments import ON_CPU, STAND_IN, TARGET, UNMEASURED, Site, site

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def place(tmp_path: Path) -> Site:
    """A workspace whose repository was laid out for the local server, as `serving up` leaves it."""
    found = site(tmp_path, None)
    found.reports(**ON_CPU)
    return found


def serving(place: Site, *words: str) -> subprocess.CompletedProcess[str]:
    return run_module("serving", *words, "--workspace", str(place.root), "--config", str(place.root / "models.toml"))


def test_a_report_becomes_an_overlay_in_two_commands(place: Site) -> None:
    early = serving(place, "deploy")
    assert early.returncode == 2
    assert f"run 'python -m serving repository --target {TARGET}'" in early.stderr
    assert serving(place, "repository", "--target", TARGET).returncode == 0
    done = serving(place, "deploy", "--rate", "1000")
    assert done.returncode == 0, done.stderr
    assert "ceil(1000 requests/s * 1.3 / 96 requests/s of one pod) + 1" in done.stdout
    assert (place.root / "k8s" / "rendered" / "words" / "kustomization.yaml").is_file()


def test_what_is_laid_out_without_a_target_is_for_the_local_server(place: Site) -> None:
    config = place.workspace.triton_repository / "words__onnx" / "config.pbtxt"
    assert serving(place, "repository").returncode == 0
    assert "model_metrics" not in config.read_text()
    assert serving(place, "repository", "--target", TARGET).returncode == 0
    assert "model_metrics" in config.read_text()


@pytest.mark.parametrize(("target", "limited"), [("25.05", False), ("25.06", True)])
def test_a_repository_for_a_release_comes_with_the_command_that_it_takes(
    place: Site, target: str, limited: bool
) -> None:
    told = serving(place, "repository", "--target", target).stderr
    command = told.partition(f"a Triton {target} takes it as: tritonserver ")[2].split()
    assert f"--model-repository={place.workspace.triton_repository}" in command
    assert "--load-model=words__onnx" in command
    assert any(flag.startswith("--http-max-input-size=") for flag in command) == limited


def test_a_stand_in_is_refused_until_it_is_said_to_be_unmeasured(place: Site) -> None:
    place.reports(**STAND_IN)
    assert serving(place, "repository", "--target", TARGET).returncode == 0
    refused = serving(place, "deploy")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "measured on a stand-in" in refused.stderr and "--unmeasured" in refused.stderr
    shown = serving(place, "deploy", *UNMEASURED, "--dry-run", "--device", "gpu:NVIDIA-L4")
    assert shown.returncode == 0, shown.stderr
    objects = {item["kind"]: item for item in yaml.safe_load_all(shown.stdout)}
    assert objects["Deployment"]["metadata"]["annotations"]["loadproof/measured"] == "no"
    assert objects["Job"]["metadata"]["name"] == "measure"
    assert objects["HorizontalPodAutoscaler"]["spec"]["minReplicas"].startswith("REQUIRED")


def test_a_misspelt_flag_is_refused_with_the_nearest(place: Site) -> None:
    refused = serving(place, "deploy", "--unmesured")
    assert refused.returncode == 2 and "did you mean '--unmeasured'" in refused.stderr
