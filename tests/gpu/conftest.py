"""The suite for a machine with a GPU: it asks a running NVIDIA Triton, and fails where there is no GPU.

    LOADPROOF_TRITON=host:8000 pytest tests/gpu

The server holds this project's model repository and lets its models be loaded (``--model-control-mode=explicit``). Its
metrics are on the port two above, unless LOADPROOF_TRITON_METRICS says otherwise; the artifacts are in the checkout,
unless LOADPROOF_WORKSPACE names another folder. An ordinary run of pytest passes this folder by.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contract.errors import ServerError
from contract.manifest import Manifest, read_newest
from contract.workspace import Workspace
from serving.engines.device import device
from tests.conftest import ROOT
from tests.gpu.asked import GpuTriton

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only who names this folder, or a file in it, gets it."""
    named = [Path(config.invocation_params.dir, str(item).split("::")[0]).resolve() for item in config.args]
    return None if any(item == HERE or HERE in item.parents for item in named) else True


@pytest.fixture(scope="session")
def triton() -> GpuTriton:
    """The Triton that is asked. Without one on a GPU, every test of this suite fails."""
    address = os.environ.get("LOADPROOF_TRITON", "")
    if not address:
        if device() == "cpu":
            pytest.fail(
                "no NVIDIA GPU: this machine has none, and LOADPROOF_TRITON names no Triton that has one", pytrace=False
            )
        pytest.fail("LOADPROOF_TRITON is not set; start NVIDIA's Triton and give its HOST:HTTP_PORT", pytrace=False)
    server = GpuTriton.at(address, os.environ.get("LOADPROOF_TRITON_METRICS"))
    try:
        gpus = server.gpus()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    if not gpus:
        pytest.fail(
            f"no NVIDIA GPU: Triton at {address} has no nv_gpu_memory_total_bytes among its metrics", pytrace=False
        )
    return server


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    """Where the artifacts are."""
    return Workspace(Path(os.environ.get("LOADPROOF_WORKSPACE", ROOT)))


@pytest.fixture(scope="session")
def artifacts(triton: GpuTriton, workspace: Workspace) -> dict[str, tuple[Path, Manifest]]:
    """{name on Triton: (folder, manifest)} of what the server has in its repository and this workspace exported."""
    found = {}
    for name in triton.repository():
        model = name.rpartition("__")[0]
        if model and (workspace.artifacts / model).is_dir():
            found[name] = read_newest(workspace.artifacts / model)
    if not found:
        pytest.fail(f"no model of Triton's repository was exported into {workspace.artifacts}; run 'make export' first")
    return found
