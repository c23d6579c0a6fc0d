"""What a test deploys on a cluster: one model, one pod, the job that measures it, and a way to bring files there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from contract.files import sha256_file
from tests.k8s_rendered import K8S, kustomize

Document = dict[str, Any]
IMAGES = {  # as k8s/ names them -> which variable says what this cluster has instead
    "nvcr.io/nvidia/tritonserver": "LOADPROOF_TRITON_IMAGE",
    "loadproof/loadtest": "LOADPROOF_LOADTEST_IMAGE",
}
# What a small cluster's storage can do.
ONE_NODE = [{"op": "replace", "path": "/spec/accessModes", "value": ["ReadWriteOnce"]}]


def sums_of(folder: Path) -> str:
    """SHA256SUMS of a model's folder, as docs/deploy.md makes it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return "".join(f"{sha256_file(file)}  {file.relative_to(folder.parent)}\n" for file in files)


def measuring_overlay(folder: Path, model: str, sums: str, environment: Mapping[str, str]) -> list[Document]:
    """What serves one model with one pod and measures it, without what needs an operator."""
    folder.mkdir(exist_ok=True)
    here = os.path.relpath(K8S, folder)
    (folder / "SHA256SUMS").write_text(sums)
    server = "http://triton-headless:8000,grpc://triton-headless:8001"
    images = {name: environment[variable].rpartition(":") for name, variable in IMAGES.items()}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "loadproof",
        "resources": [f"{here}/base/triton"],
        "components": [f"{here}/components/{name}" for name in ("model-store", "measure")],
        "configMapGenerator": [
            {"name": "model", "literals": [f"MODEL={model}"], "files": ["SHA256SUMS"]},
            {"name": "measure", "literals": [f"SERVER={server}", "DEVICE=cpu"]},
        ],
        "images": [{"name": name, "newName": new, "newTag": tag} for name, (new, _, tag) in images.items()],
        "replicas": [{"name": "triton", "count": 1}],
        "patches": [{"target": {"kind": "PersistentVolumeClaim"}, "patch": yaml.safe_dump(ONE_NODE)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    result = kustomize(folder)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def filling(environment: Mapping[str, str]) -> Document:
    """A pod through which files come into the claim model-store."""
    container = {
        "name": "filling",
        "image": environment[IMAGES["loadproof/loadtest"]],
        "command": ["sleep", "3600"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "store", "mountPath": "/store"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "filling"},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": "model-store"}}],
        },
    }
