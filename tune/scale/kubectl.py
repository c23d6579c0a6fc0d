"""A Deployment by kubectl: how many replicas it has, is to have, and has ready. Command lines and answers are pure."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import ServerError, UsageError

NAME = re.compile(r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)/([a-z0-9]([-a-z0-9.]*[a-z0-9])?)$")
PROGRAM = "kubectl"
ROLLOUT_S = 900  # a node that has to be made first, an image that has to be pulled
ANSWER_S = 60


@dataclass(frozen=True)
class Deployment:
    """By namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Deployment:
        """``NAMESPACE/NAME``. Raises UsageError for anything else."""
        found = NAME.match(text)
        if not found:
            raise UsageError(f"--deployment is '{text}'; say NAMESPACE/NAME, like loadproof/triton")
        return cls(found[1], found[3])

    @property
    def get(self) -> list[str]:
        return ["--namespace", self.namespace, "get", f"deployment/{self.name}", "--output", "json"]

    @property
    def autoscalers(self) -> list[str]:
        return ["--namespace", self.namespace, "get", "horizontalpodautoscalers", "--output", "json"]

    @property
    def rollout(self) -> list[str]:
        return [
            "--namespace",
            self.namespace,
            "rollout",
            "status",
            f"deployment/{self.name}",
            f"--timeout={ROLLOUT_S}s",
        ]

    def scale(self, replicas: int) -> list[str]:
        return ["--namespace", self.namespace, "scale", f"deployment/{self.name}", f"--replicas={replicas}"]


def wanted(document: dict[str, Any]) -> int:
    """How many replicas a Deployment is to have; 1 where it does not say."""
    return int(document["spec"].get("replicas", 1))


def ready(document: dict[str, Any]) -> int:
    """How many are ready."""
    return int(document.get("status", {}).get("readyReplicas", 0))


def autoscaler_of(deployment: Deployment, document: dict[str, Any]) -> str:
    """The name of the HorizontalPodAutoscaler that scales it, out of a list of them; empty: none does."""
    for item in document.get("items", []):
        target = item["spec"]["scaleTargetRef"]
        if (target.get("kind"), target.get("name")) == ("Deployment", deployment.name):
            return str(item["metadata"]["name"])
    return ""


class Kubectl:
    """The kubectl on PATH, or beside this interpreter; of the cluster that KUBECONFIG names."""

    def __init__(self) -> None:
        beside = f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}"
        found = shutil.which(PROGRAM, path=beside)
        if found is None:
            raise UsageError(f"{PROGRAM} is neither on PATH nor beside {sys.executable}; run 'make env', or install it")
        self._program = found

    def document(self, words: list[str]) -> dict[str, Any]:
        """What a get answers. Raises ServerError with kubectl's own words."""
        return dict(json.loads(self.run(words)))

    def run(self, words: list[str], limit_s: float = ANSWER_S) -> str:
        """Its output. Raises ServerError with kubectl's own words, or where it does not come to an end."""
        shown = " ".join([PROGRAM, *words])
        try:
            done = subprocess.run([self._program, *words], capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            raise ServerError(f"'{shown}' did not end within {limit_s:.0f} s; is the cluster there?") from None
        if done.returncode:
            raise ServerError(f"'{shown}' failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
        return done.stdout
