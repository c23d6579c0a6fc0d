"""The jobs of k8s/ as they would be applied, and their pods without Kubernetes: each container as a local process."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.k8s_rendered import K8S, kustomize

Document = dict[str, Any]
JOBS = sorted(item.name for item in (K8S / "jobs").iterdir())
IMAGE = "loadproof/loadtest"
# What the image of the load generator does not have, and what must not be needed in it.
ABSENT = ("torch", "tensorflow", "keras", "onnx", "onnxruntime", "pytriton", "pytest")
HIDING = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(f"no {{name}} in this image", name=name)
sys.meta_path.insert(0, Absent())
"""


@functools.cache
def job_objects(job: str) -> list[Document]:
    """What `kubectl apply -k k8s/jobs/<job>` would send."""
    result = kustomize(K8S / "jobs" / job)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def of_kind(objects: list[Document], kind: str) -> list[Document]:
    return [item for item in objects if item["kind"] == kind]


def named(objects: list[Document], kind: str, name: str) -> Document:
    (found,) = (item for item in of_kind(objects, kind) if item["metadata"]["name"] == name)
    return found


def template(job: Document) -> Document:
    found: Document = job["spec"]["template"]
    return found


def steps(job: Document) -> list[Document]:
    """The containers of a job's pod in the order in which they run."""
    spec = template(job)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def variables(objects: list[Document], step: Document) -> dict[str, str]:
    """The environment that a container gets: from ConfigMaps, and the pod's own namespace."""
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}
    found = dict[str, str]()
    for source in step.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    for item in step.get("env", []):
        source = item["valueFrom"]
        if "fieldRef" in source:
            assert source["fieldRef"] == {"fieldPath": "metadata.namespace"}
            found[item["name"]] = "loadproof"
            continue
        key = source["configMapKeyRef"]
        found[item["name"]] = maps[key["name"]][key["key"]]
    return found


@dataclass(frozen=True)
class LocalPod:
    """A pod's containers as processes of this machine: their arguments and variables, volumes as folders.

    ``claims`` is the folder that holds each claim's; what the image lacks cannot be imported.
    """

    folder: Path
    objects: list[Document]
    job: Document
    claims: Path
    changed: dict[str, str]  # settings that are other here: addresses and ports
    replaced: dict[str, list[str]]  # words of arguments that are others here

    def start(self, step: Document) -> subprocess.Popen[str]:
        """Start one container as the kubelet would, its output a pipe and its log a file."""
        self._mount(step)
        command = [sys.executable, "-m", *self._words(step)]
        environment = {
            **os.environ,
            **variables(self.objects, step),
            **self.changed,
            "PYTHONPATH": os.pathsep.join([str(self._without()), str(ROOT)]),
            "TMPDIR": str(self._of("/tmp")),
        }
        with (self.folder / f"{step['name']}.log").open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def run(self, name: str, code: int = 0, timeout: float = 200) -> str:
        """Run one container to its end, which has to be this one, and return what it prints."""
        (step,) = (item for item in steps(self.job) if item["name"] == name)
        process = self.start(step)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == code, f"{name}: {output}{self.log(name)}"
        return output

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _words(self, step: Document) -> Iterator[str]:
        values = {**variables(self.objects, step), **self.changed}
        for word in step["args"]:
            text = re.sub(r"\$\((\w+)\)", lambda name: values[name[1]], word)
            yield from self.replaced.get(text, [text.replace("=/workspace", f"={self._of('/workspace')}")])

    def _of(self, inside: str) -> Path:
        return self.folder / "root" / inside.removeprefix("/")

    def _mount(self, step: Document) -> None:
        volumes = {item["name"]: item for item in template(self.job)["spec"]["volumes"]}
        for mount in step["volumeMounts"]:
            target, volume = self._of(mount["mountPath"]), volumes[mount["name"]]
            if "emptyDir" in volume:
                target.mkdir(parents=True, exist_ok=True)
            elif not target.is_symlink():
                source = self.claims / volume["persistentVolumeClaim"]["claimName"] / mount["subPath"]
                if not mount.get("readOnly"):
                    source.mkdir(parents=True, exist_ok=True)
                assert source.exists(), f"{source} would fail the pod's start: a read-only volume gets no folder"
                target.symlink_to(source)

    def _without(self) -> Path:
        folder = self.folder / "absent"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(HIDING.format(absent=set(ABSENT)))
        return folder


def fill_store(claims: Path, workspace: Path) -> None:
    """Bring what a load needs into the model store, as docs/deploy.md says."""
    store = claims / "model-store"
    store.mkdir(parents=True)
    shutil.copytree(workspace / "artifacts", store / "artifacts")
    shutil.copy2(workspace / "models.toml", store)
