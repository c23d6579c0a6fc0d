"""docker/compose.yaml as data, and as containers of a project of its own on ports of its own."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.workspace import Workspace
from tests.builders import free_port

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker" / "compose.yaml"
PORTS = (
    "TRITON_HTTP",
    "TRITON_GRPC",
    "TRITON_METRICS",
    "TFSERVING_GRPC",
    "TFSERVING_REST",
    "PROMETHEUS",
    "GRAFANA",
)
LONGEST_S = 240.0
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
Service = dict[str, Any]


def text() -> str:
    return FILE.read_text(encoding="utf-8")


@functools.cache
def file(workspace: str = "/workspace") -> dict[str, Any]:
    """The file with its defaults in place, its aliases resolved."""
    filled = VARIABLE.sub(lambda found: workspace if found[1] == "WORKSPACE" else found[3], text())
    loaded: dict[str, Any] = yaml.safe_load(filled)
    return loaded


def services() -> dict[str, Service]:
    found: dict[str, Service] = file()["services"]
    return found


def of_profile(profile: str) -> dict[str, Service]:
    return {name: service for name, service in services().items() if profile in service["profiles"]}


def compose() -> list[str]:
    """The command of Compose that is here: the plugin, or 1.29's own. Skips where there is neither."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    pytest.skip(
        "NO COMPOSE: neither 'docker compose' nor 'docker-compose' runs here (Debian: apt-get install docker-compose)"
    )


@dataclass(frozen=True)
class Stack:
    """One project of Compose; ``environment`` is what the file's variables are."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of Compose, whatever its end."""
        return subprocess.run(
            [*self.command, "--project-name", self.name, "--file", str(FILE), *words],
            env={**os.environ, **self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )

    def done(self, *words: str, **variables: str) -> str:
        """What a command prints that ends well."""
        result = self.run(*words, **variables)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def address(self, port: str, scheme: str = "http") -> str:
        """Where a published port is found, by its variable."""
        return f"{scheme}://127.0.0.1:{self.environment[port]}"

    def prometheus(self, path: str, **parameters: str) -> Any:
        """The data of an answer of Prometheus' own interface."""
        url = f"{self.address('PROMETHEUS')}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def stack(place: Workspace, **variables: str) -> Iterator[Stack]:
    """A project for a workspace; whatever it started is gone at the end, with its volumes."""
    ports = {name: str(free_port()) for name in PORTS}
    environment = {"WORKSPACE": str(place.root), **ports, **variables}
    found = Stack(f"loadproof-tests-{os.getpid()}", compose(), environment)
    try:
        yield found
    finally:
        found.done("--profile", "cpu", "--profile", "observe", "down", "--volumes", "--timeout", "10")
