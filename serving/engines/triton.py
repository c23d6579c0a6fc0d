"""Triton: the tritonserver of the nvidia-pytriton wheel with our backends, NVIDIA's image, or an address."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from contract.errors import UsageError
from contract.workspace import Workspace
from serving.engines.device import device
from serving.engines.image_release import release_of
from serving.layout import releases
from serving.places.addresses import is_address, parse_addresses
from serving.places.launch import Launch
from serving.places.ports import LOOPBACK, choose_ports

BACKENDS = Path(__file__).parents[1] / "backends"
USUAL_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
IMAGE = "nvcr.io/nvidia/tritonserver"
WHEEL_RELEASE = "24.10"  # whose server the wheel holds
EXIT_TIMEOUT_S = 5
MOST_INPUT_BYTES = 2**31 - 1
STUB_TIMEOUT_S = 120  # importing a framework takes longer than the default of 30 s on a busy machine


def wheel() -> Path:
    """The folder of the wheel that holds tritonserver. Raises UsageError when it is not installed."""
    found = importlib.util.find_spec("pytriton")
    if found is None or not found.submodule_search_locations:
        raise UsageError("nvidia-pytriton, which brings tritonserver, is not installed; run 'make env'")
    folder = Path(next(iter(found.submodule_search_locations))) / "tritonserver"
    if not (folder / "bin" / "tritonserver").is_file():
        raise UsageError(f"{folder} has no tritonserver: nvidia-pytriton has wheels with it for x86-64 Linux only")
    return folder


def library_folder() -> str:
    """The folder of this interpreter's own libpython, which Triton's stub links. Raises UsageError without it."""
    folder = sysconfig.get_config_var("LIBDIR") or ""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    candidates = [Path(folder), Path(folder) / (sysconfig.get_config_var("MULTIARCH") or "")]
    for candidate in candidates:
        if (candidate / name).is_file():
            return str(candidate)
    package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    raise UsageError(
        f"{name} is not in {folder}: Triton's Python backend needs the shared library of this interpreter. "
        f"Debian and Ubuntu: apt-get install {package}; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install"
    )


def assemble_backends(workspace: Workspace) -> Path:
    """Lay out a backend directory: the wheel's Python backend, this interpreter's stub, and our backends beside it."""
    source = wheel()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = source / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        known = sorted(item.name for item in (source / "python_backend_stubs").iterdir())
        raise UsageError(f"Triton has no stub for Python {version}, only for {', '.join(known)}; use one of these")
    target = workspace.live / "backends"
    shutil.rmtree(target, ignore_errors=True)
    python = target / "python"
    python.mkdir(parents=True)
    for file in (*(source / "backends" / "python").glob("*.*"), stub):
        shutil.copy2(file, python)  # a symbolic link is refused: "escapes backend directory"
    for folder in sorted(item for item in BACKENDS.iterdir() if (item / "model.py").is_file()):
        (target / folder.name).mkdir()
        shutil.copy2(folder / "model.py", target / folder.name)
        for shared in BACKENDS.glob("*.py"):
            shutil.copy2(shared, target / folder.name)
    return target


def check(place: str) -> None:
    """Raise UsageError for a place that nobody knows, and for an address that cannot be read."""
    if is_address(place):
        parse_addresses(place, USUAL_PORTS)
    elif place not in ("process", "docker"):
        raise UsageError(f"unknown Triton '{place}': one of process, docker, or http://HOST:PORT,grpc://HOST:PORT")


def launch(workspace: Workspace, place: str, target: str, image: str | None = None) -> Launch:
    """The Launch of a Triton that loads models only when told to.

    ``place`` is ``process`` (this machine's wheel), ``docker`` (NVIDIA's image of release ``target``, or ``image``) or
    the address of a server that runs already.
    """
    if is_address(place):
        return _at(place, workspace)
    return _in_docker(workspace, target, image) if place == "docker" else _on_this_machine(workspace)


def command_flags(workspace: Workspace, release: str) -> list[str]:
    """What every Triton that we start is told, where its release knows the flag."""
    return [
        f"--model-repository={workspace.triton_repository}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_S}",
        # The least that serves what the server without the flag served: its own default is 64 MiB from 25.06 on.
        *releases.flags(release, {"--http-max-input-size": str(MOST_INPUT_BYTES)}),
    ]


def _on_this_machine(workspace: Workspace) -> Launch:
    server = wheel() / "bin" / "tritonserver"
    backends = assemble_backends(workspace)
    ports = choose_ports(USUAL_PORTS, "Triton")
    prefix = f"loadproof_{os.getpid()}_{ports['http']}_"
    libraries = [
        library_folder(),
        str(wheel().parents[1] / "nvidia_pytriton.libs"),
        os.environ.get("LD_LIBRARY_PATH", ""),
    ]
    command = [
        str(server),
        *command_flags(workspace, WHEEL_RELEASE),
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    ]
    for purpose, port in ports.items():
        command += [f"--{purpose}-address={LOOPBACK}", f"--{purpose}-port={port}"]
    return Launch(
        engine="triton",
        engine_kind="real",
        command=command,
        image=None,
        environment={
            "LD_LIBRARY_PATH": ":".join(part for part in libraries if part),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        ports=ports,
        ready="/v2/health/ready",
        ready_port="http",
        log=workspace.live / "logs" / "triton.log",
        shm_prefix=prefix,
    )


def _in_docker(workspace: Workspace, target: str, image: str | None) -> Launch:
    """NVIDIA's container, published on loopback; inside it listens on every interface of its own network."""
    release = release_of(image) if image else None
    command = ["tritonserver", *command_flags(workspace, release or target)]
    return Launch(
        engine="triton",
        engine_kind="real",
        command=command,
        image=image or f"{IMAGE}:{target}-py3",
        environment={},
        ports=choose_ports(USUAL_PORTS, "Triton"),
        inside=USUAL_PORTS,
        ready="/v2/health/ready",
        ready_port="http",
        log=workspace.live / "logs" / "triton.log",
        mounts=[workspace.triton_repository.parent],  # a tree that is laid out anew is another folder
        gpus=device() != "cpu",
        shared_memory_mib=1024,
        timeout_s=600.0,  # a first start initialises CUDA and every backend
    )


def _at(address: str, workspace: Workspace) -> Launch:
    host, ports = parse_addresses(address, USUAL_PORTS)
    return Launch(
        engine="triton",
        engine_kind="real",
        command=[],
        image=None,
        environment={},
        host=host,
        ports=ports,
        ready="/v2/health/live",
        ready_port="http",
        log=workspace.live / "logs" / "triton.log",
        timeout_s=10.0,
    )
