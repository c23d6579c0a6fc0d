"""The real tritonserver of the nvidia-pytriton wheel, with the python-based backends of this project."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import sys
import sysconfig
import time
from pathlib import Path

from contract.errors import ServerError, UsageError
from contract.workspace import Workspace
from serving.launch import Launch
from serving.ports import LOOPBACK, choose_ports

BACKENDS = Path(__file__).parent / "backends"
USUAL_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
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
        shutil.copy2(BACKENDS / "batch.py", target / folder.name)
    return target


def launch(workspace: Workspace) -> Launch:
    """The Launch of a Triton on loopback, which loads models only when told to."""
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
        f"--model-repository={workspace.triton_repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=5",
        f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_S}",
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


def engine_version(ports: dict[str, int]) -> str:
    """The version that the server states in its metadata."""
    return str(_call("GET", "/v2", ports)["version"])


def load(name: str, ports: dict[str, int], timeout_s: float = 180.0) -> float:
    """Load a model and return the seconds until it was ready. Raises ServerError with the server's own words."""
    started = time.monotonic()
    _call("POST", f"/v2/repository/models/{name}/load", ports, timeout_s)
    _call("GET", f"/v2/models/{name}/ready", ports)
    return time.monotonic() - started


def unload(name: str, ports: dict[str, int], timeout_s: float = 60.0) -> None:
    """Unload a model and wait until its processes are gone. Raises ServerError with the server's own words."""
    _call("POST", f"/v2/repository/models/{name}/unload", ports, timeout_s)
    deadline = time.monotonic() + timeout_s
    while _loaded(name, ports):
        if time.monotonic() > deadline:
            raise ServerError(f"Triton still holds {name} {timeout_s:.0f} s after it was told to unload it")
        time.sleep(0.05)


def _loaded(name: str, ports: dict[str, int]) -> bool:
    try:
        _call("GET", f"/v2/models/{name}/ready", ports)
    except ServerError:
        return False
    return True


def _call(method: str, path: str, ports: dict[str, int], timeout_s: float = 30.0) -> dict[str, object]:
    connection = http.client.HTTPConnection(LOOPBACK, ports["http"], timeout=timeout_s)
    try:
        connection.request(method, path, body=b"{}" if method == "POST" else None)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except OSError as error:
        raise ServerError(f"Triton did not answer {method} {path}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        try:
            message = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            message = text or f"HTTP {response.status}"
        raise ServerError(f"Triton refused {method} {path}: {message.strip()}")
    return dict(json.loads(text)) if text else {}
