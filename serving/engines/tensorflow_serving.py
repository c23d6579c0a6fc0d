"""TF Serving: the C++ server on PATH, the official image, or the embedded stand-in, with the same configuration."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from contract.errors import UsageError
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from serving.engines.device import device
from serving.layout.tfserving_config import (
    BATCHES,
    BATCHING_CONFIG,
    MODELS_CONFIG,
    MONITORING_CONFIG,
    PARAMETERS,
    THREADS,
)
from serving.places import docker as place_docker
from serving.places.addresses import is_address, parse_addresses
from serving.places.launch import Launch
from serving.places.ports import LOOPBACK, choose_ports

BINARY = "tensorflow_model_server"
REPOSITORY = "tensorflow/serving"
IMAGE = f"{REPOSITORY}:2.20.0"  # as in k8s/base/tfserving and docker/tfserving.Dockerfile
GPU_IMAGE = f"{IMAGE}-gpu"
TIMEOUT_S, GPU_TIMEOUT_S = 180.0, 600.0  # a first start initialises CUDA
USUAL_PORTS = {"grpc": 8500, "rest": 8501}
EMBEDDED = "loadproof-embedded"  # what the stand-in puts into every answer's Server header
FLAVOURS = ("binary", "docker", "embedded")
EXPOSED = (
    f"{BINARY} has no flag for its address and listens on every interface of this machine; "
    "block its ports in the firewall, or take '--tfserving docker' or '--tfserving embedded', which stay on loopback"
)
ROOT = Path(__file__).parents[2]


def may_batch(models: Iterable[list[TensorSpec]]) -> bool:
    """Whether requests for all these models (their inputs) may be joined: every axis but the batch is fixed.

    TF Serving refuses a whole batch when its requests differ in shape, and what it pads with when it is told to is the
    first element of the tensor, which changes the answer of every model that can tell.
    """
    return all(isinstance(dim, int) for inputs in models for spec in inputs for dim in spec.dims[1:])


def image() -> str:
    """The official image for this machine: the one for GPUs where it has one, for the other sees none."""
    return IMAGE if device() == "cpu" else GPU_IMAGE


def check(wanted: str) -> None:
    """Raise UsageError for a flavour that nobody knows, the binary where there is none, and an unreadable address."""
    known = ["auto", *FLAVOURS]
    if is_address(wanted):
        parse_addresses(wanted, USUAL_PORTS)
    elif wanted not in known:
        raise UsageError(
            f"unknown TF Serving '{wanted}': one of {', '.join(known)}, or rest://HOST:PORT,grpc://HOST:PORT"
        )
    elif wanted == "binary" and not shutil.which(BINARY):
        raise UsageError(f"{BINARY} is not on PATH; install it, or leave the choice with --tfserving auto")


def choose_flavour(wanted: str) -> str:
    """``auto`` takes the first that is there: the binary, the image for this machine, the embedded server.

    Raises UsageError as `check` does.
    """
    check(wanted)
    if wanted != "auto":
        return wanted
    if shutil.which(BINARY):
        return "binary"
    return "docker" if place_docker.has_image(image()) else "embedded"


def launch(workspace: Workspace, flavour: str, threads: int, batching: bool) -> Launch:
    """The Launch of a TF Serving on loopback, or of one that runs already where ``flavour`` is an address."""
    check(flavour)
    if is_address(flavour):
        return _at(flavour, workspace)
    ports = choose_ports(USUAL_PORTS, "TF Serving")
    tree = workspace.tfserving_repository
    # In a container the usual ports are taken inside, and published on loopback.
    inside = USUAL_PORTS if flavour == "docker" else ports
    flags = [
        f"--port={inside['grpc']}",
        f"--rest_api_port={inside['rest']}",
        f"--model_config_file={tree / MODELS_CONFIG}",
        f"--monitoring_config_file={tree / MONITORING_CONFIG}",
        f"{THREADS}{threads}",
    ]
    if batching:
        flags += [BATCHES, f"{PARAMETERS}{tree / BATCHING_CONFIG}"]
    program = {
        "binary": [shutil.which(BINARY) or BINARY],
        "docker": [BINARY],
        "embedded": [sys.executable, "-m", "serving.tfserving", f"--host={LOOPBACK}"],
    }
    gpus = flavour == "docker" and image() == GPU_IMAGE
    return Launch(
        engine="tfserving",
        engine_kind="embedded" if flavour == "embedded" else "real",
        command=program[flavour] + flags,
        image=image() if flavour == "docker" else None,
        environment={} if flavour == "docker" else {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT)},
        ports=ports,
        ready="/v1/models/",
        ready_port="rest",
        log=workspace.live / "logs" / "tfserving.log",
        mounts=[tree.parent] if flavour == "docker" else [],  # a tree that is laid out anew is another folder
        inside=inside if flavour == "docker" else {},
        gpus=gpus,
        timeout_s=GPU_TIMEOUT_S if gpus else TIMEOUT_S,
        warning=EXPOSED if flavour == "binary" else None,
    )


def place_of(flavour: str) -> str:
    """Where this flavour runs: a key of the places."""
    if is_address(flavour):
        return "url"
    return "docker" if flavour == "docker" else "process"


def _at(address: str, workspace: Workspace) -> Launch:
    host, ports = parse_addresses(address, USUAL_PORTS)
    return Launch(
        engine="tfserving",
        engine_kind="embedded" if _is_embedded(host, ports["rest"]) else "real",
        command=[],
        image=None,
        environment={},
        host=host,
        ports=ports,
        ready="/v1/models/",
        ready_port="rest",
        log=workspace.live / "logs" / "tfserving.log",
        timeout_s=10.0,
    )


def _is_embedded(host: str, port: int) -> bool:
    """Whether the server says that it is our stand-in."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/v1/models/")
        return connection.getresponse().getheader("Server") == EMBEDDED
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def engine_version(flavour: str) -> str:
    """The version of the server that was started; one at an address does not tell it."""
    if is_address(flavour):
        return "unknown"
    if flavour == "embedded":
        return f"embedded stand-in on TensorFlow {importlib.metadata.version('tensorflow')}"
    if flavour == "docker":
        # The official tag is the version, and what it was built for.
        return place_docker.image_label(image()).removeprefix(f"{REPOSITORY}:").removesuffix("-gpu")
    result = subprocess.run([BINARY, "--version"], capture_output=True, text=True, env=dict(os.environ), timeout=60)
    found = re.search(r"TensorFlow ModelServer: (\S+)", result.stdout + result.stderr)
    return found.group(1) if found else "unknown"
