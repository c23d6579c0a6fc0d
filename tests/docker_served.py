"""A small model that is exported and laid out in a moment, and what the tests of the images do with containers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from docker.client import DockerClient
from onnx import TensorProto, helper, numpy_helper

from contract.workspace import Workspace
from tests.conftest import run_module

NAME = "linear__onnx"
WEIGHT = np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, 3)
MODELS = """
schema_version = 1
target = "24.10"

[load]
concurrency = [2]
duration_s = 1.0
open_duration_s = 1.0
warmup_s = 0.2
rounds = 1
attempts = 1

[models.linear]
framework = "onnx"
source = "linear.onnx"
formats = ["onnx"]
inputs = [{ name = "features", dtype = "float32", dims = ["batch", 6], range = [-1, 1] }]
outputs = [{ name = "scores", dtype = "float32", dims = ["batch", 3] }]
slo = { rate = 20 }
"""


def trained(root: Path, models: str = MODELS) -> Workspace:
    """A workspace with ``scores = features @ WEIGHT``, not exported yet."""
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 6])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])]
    nodes = [helper.make_node("MatMul", ["features", "weight"], ["scores"])]
    graph = helper.make_graph(nodes, "linear", inputs, outputs, [numpy_helper.from_array(WEIGHT, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), root / "linear.onnx")
    (root / "models.toml").write_text(models)
    return Workspace(root)


def exported(root: Path) -> Workspace:
    """The same, proven as ONNX and laid out for Triton."""
    place = trained(root)
    for words in (["export"], ["serving", "repository"]):
        done(place, *words)
    return place


def done(place: Workspace, *words: str) -> str:
    """What a command prints that ends well."""
    result = run_module(*words, "--config", str(place.root / "models.toml"), "--workspace", str(place.root))
    assert result.returncode == 0, result.stderr
    return result.stdout


HARDENED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "size=256m"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
OFTEN = {"interval": 500_000_000}  # of the image's own health check, in ns: tests do not want to wait


@contextmanager
def running(engine: DockerClient, tag: str, **options: Any) -> Iterator[Any]:
    """A container of the image as production would run it, until the block ends."""
    container = engine.containers.run(tag, **HARDENED | {"detach": True} | options)
    try:
        yield container
    finally:
        container.remove(force=True)


@contextmanager
def isolated(engine: DockerClient) -> Iterator[str]:
    """A network whose containers reach each other and nothing else; its name."""
    network = engine.networks.create(f"loadproof-tests-{os.getpid()}", internal=True)
    try:
        yield str(network.name)
    finally:
        network.remove()


def mounted(folder: Path, mode: str, where: str = "") -> dict[str, dict[str, str]]:
    """The ``volumes`` of a container that sees a folder, by default at its own path."""
    return {str(folder): {"bind": where or str(folder), "mode": mode}}


def published(*ports: int) -> dict[str, tuple[str, None]]:
    """The ``ports`` of a container, on free ports of loopback."""
    return {f"{port}/tcp": ("127.0.0.1", None) for port in ports}


def address_of(container: Any, port: int) -> str:
    """``host:port`` where a published port is reached."""
    container.reload()
    (found,) = container.ports[f"{port}/tcp"]
    return f"{found['HostIp']}:{found['HostPort']}"


def exit_code(container: Any) -> int:
    """What it ended with."""
    container.reload()
    return int(container.attrs["State"]["ExitCode"])


def give_away(folder: Path, user: int) -> None:
    """Let a container's user write below a folder that root made."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not so after {seconds:.0f} s")


def health(container: Any) -> str:
    """What the image's own health check says: starting, healthy or unhealthy."""
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def written_by_us(image: Any) -> int:
    """Bytes of the layers on top of the base, which is the image's oldest layer."""
    return sum(int(layer["Size"]) for layer in image.history()[:-1])
