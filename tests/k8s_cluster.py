"""A cluster that KUBECONFIG reaches, for the tests that need one: asked through kubectl, in a namespace of their own.

    KUBECONFIG=~/.kube/config .venv/bin/python -m pytest tests/test_k8s_cluster.py
    LOADPROOF_TRITON_IMAGE=registry/triton-cpu:0.1.0 LOADPROOF_LOADTEST_IMAGE=registry/loadtest:0.1.0 … -m slow

The images have to be where the cluster's nodes find them.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
LOOK_S = 5.0
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}


def why_not(environment: Mapping[str, str], kubectl: str) -> str:
    """Why no cluster can be asked; empty where one can."""
    file = environment.get("KUBECONFIG")
    if not file:
        return "KUBECONFIG is not set, so nothing was asked of a cluster; set it to one that may be tried out on"
    result = subprocess.run(
        [kubectl, "version", "--request-timeout=10s"], capture_output=True, text=True, timeout=60, check=False
    )
    return "" if result.returncode == 0 else f"KUBECONFIG is {file}, and no cluster answers: {result.stderr.strip()}"


def known_kinds(table: str) -> set[tuple[str, str]]:
    """(apiVersion, kind) of each line of `kubectl api-resources`: NAME SHORTNAMES APIVERSION NAMESPACED KIND."""
    return {(words[-3], words[-1]) for line in table.splitlines() if len(words := line.split()) >= 4}


def sorted_out(objects: Iterable[Document], known: set[tuple[str, str]]) -> tuple[list[Document], list[str]]:
    """What this cluster can be asked about, and what it has no definition of, by name. Namespaces are the tests'."""
    found, unknown = list[Document](), list[str]()
    for item in objects:
        if item["kind"] == "Namespace":
            continue
        if (item["apiVersion"], item["kind"]) in known:
            found.append(item)
        else:
            unknown.append(f"{item['kind']} {item['metadata']['name']}")
    return found, unknown


def moved(objects: Iterable[Document], namespace: str) -> str:
    """The objects as YAML, in another namespace."""
    there = [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in objects]
    return yaml.safe_dump_all(there)


@dataclass(frozen=True)
class Cluster:
    """kubectl, in one namespace."""

    namespace: str
    kubectl: str = str(Path(sys.executable).parent / "kubectl")

    def ask(self, *words: str, given: bytes = b"", timeout: float = 120) -> tuple[str, str]:
        """What kubectl prints, and what it warns of. It has to end well."""
        command = [self.kubectl, "--namespace", self.namespace, *words]
        result = subprocess.run(command, input=given, capture_output=True, timeout=timeout, check=False)
        warnings = result.stderr.decode()
        assert result.returncode == 0, f"{' '.join(words)}: {warnings}"
        return result.stdout.decode(), warnings

    def kinds(self) -> set[tuple[str, str]]:
        return known_kinds(self.ask("api-resources", "--no-headers")[0])

    def dry_run(self, objects: Iterable[Document]) -> str:
        """Have the API server check objects as if they were applied: defaults, validation, admission. Its warnings."""
        words = ("apply", "--server-side", "--dry-run=server", "--field-manager=loadproof-tests", "--filename=-")
        return self.ask(*words, given=moved(objects, self.namespace).encode())[1]

    def apply(self, text: str) -> None:
        self.ask("apply", "--server-side", "--filename=-", given=text.encode())

    def bring(self, files: Mapping[str, Path], pod: str) -> None:
        """Copy files and folders into /store of a pod, by tar as `kubectl cp` does."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, source in files.items():
                archive.add(source, arcname=name)
        unpack = ("tar", "--extract", "--no-same-owner", "--directory=/store")
        self.ask("exec", "--stdin", pod, "--", *unpack, given=packed.getvalue())

    def completed(self, job: str, timeout_s: float) -> bool:
        """Wait until a job is over; whether it completed."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            status = json.loads(self.ask("get", f"job/{job}", "--output=json")[0])["status"]
            over = {item["type"] for item in status.get("conditions", []) if item["status"] == "True"}
            if over & {"Complete", "Failed"}:
                return "Complete" in over
            time.sleep(LOOK_S)
        raise AssertionError(f"the job {job} was not over after {timeout_s:.0f} s")


@contextmanager
def cluster(kubectl: str) -> Iterator[Cluster]:
    """A namespace with the restricted pod security standard, gone afterwards with all that is in it."""
    found = Cluster(f"loadproof-tests-{os.getpid()}", kubectl)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": found.namespace, "labels": RESTRICTED}}
    found.ask("create", "--filename=-", given=yaml.safe_dump(namespace).encode())
    try:
        yield found
    finally:
        found.ask("delete", "namespace", found.namespace, "--wait=false")
