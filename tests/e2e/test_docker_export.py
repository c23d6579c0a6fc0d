"""The image of the exports, but for its 8 GB of packages: these are this environment's, mounted in their place.

Of them no module can be imported that requirements/export.lock does not bring. So the lock, the sources that the image
copies, its user and its environment are the image's own; that pip installs the lock on its base is not tested here.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from docker.client import DockerClient

from contract.files import read_model
from contract.manifest import MANIFEST, Manifest
from tests.conftest import ROOT
from tests.docker_images import build
from tests.docker_served import MODELS, WEIGHT, done, give_away, mounted, running, trained
from tests.import_closure import brought_by

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
pytest_plugins = ["tests.docker_engine"]

USER = 10001  # of the image
LOCKS = ("export.lock", "cpu.constraints")
FORMATS = ("onnx", "torchscript", "savedmodel")  # each is written and proven by another framework
INSTALLS = ("COPY requirements/export.lock", "FROM python\n")  # where the lines begin that install, and what follows
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HIDING = """
import sys
from importlib.machinery import PathFinder
class OnlyTheLocks(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden} else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = OnlyTheLocks
"""


@pytest.fixture(scope="module")
def without_packages(engine: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """docker/export.Dockerfile without the lines that install."""
    if PYTHON != "3.11":
        pytest.skip(f"the image's Python is 3.11, and packages for {PYTHON} cannot be imported there")
    text = (ROOT / "docker" / "export.Dockerfile").read_text()
    begins = text.index(INSTALLS[0])
    file = tmp_path_factory.mktemp("docker") / "Dockerfile"
    file.write_text(text[:begins] + text[text.index(INSTALLS[1], begins) :])
    return build(engine, "export-without-packages", dockerfile=file)


def hidden() -> set[str]:
    """Modules of this environment that the locks do not bring."""
    return packages_distributions().keys() - brought_by(*(ROOT / "requirements" / lock for lock in LOCKS))


def test_the_image_exports_and_proves_every_format_as_nobody_on_a_root_file_system_that_is_read_only(
    engine: DockerClient, without_packages: str, tmp_path: Path
) -> None:
    assert {"pytest", "locust", "plotly"} <= hidden() and not {"torch", "tensorflow", "numpy"} & hidden()
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "sitecustomize.py").write_text(HIDING.format(hidden=hidden()))
    work = tmp_path / "work"
    work.mkdir()
    place = trained(work, MODELS.replace('formats = ["onnx"]', f"formats = {json.dumps(FORMATS)}"))
    for folder in (tmp_path, tmp_path.parent):  # whoever runs in a container is nobody here
        folder.chmod(0o755)
    if os.getuid() == 0:
        give_away(work, USER)
    volumes = {
        **mounted(work, "rw", "/work"),
        **mounted(packages, "ro", "/packages"),
        **mounted(Path(sysconfig.get_path("purelib")), "ro", f"/opt/venv/lib/python{PYTHON}/site-packages"),
    }
    user = USER if os.getuid() == 0 else os.getuid()
    command = ["export", "--workspace", "/work", "--config", "/work/models.toml"]
    environment = {"PYTHONPATH": "/packages"}
    options = {"user": str(user), "network_mode": "none", "volumes": volumes, "environment": environment}
    with running(engine, without_packages, command=command, **options) as container:
        ended = container.wait(timeout=600)
        assert ended["StatusCode"] == 0, container.logs(tail=40).decode()

    version = place.artifacts / "linear" / "1"
    manifest = read_model(version / MANIFEST, Manifest, "export")
    assert {name: item.status for name, item in manifest.formats.items()} == dict.fromkeys(FORMATS, "ok")
    assert {check.passed for item in manifest.formats.values() for check in item.checks} == {True}
    done(place, "serving", "repository")  # holds every file against the manifest
    session = onnxruntime.InferenceSession(version / "model.onnx")
    (scores,) = session.run(None, {"features": np.eye(6, dtype=np.float32)})
    np.testing.assert_allclose(scores, WEIGHT, atol=1e-6)
