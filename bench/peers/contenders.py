"""Who takes part: our Triton and the peers, how each is started, and over which protocols it is asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hop.repository import EMPTY, add
from bench.peers import environments, ours, protocols
from bench.peers.protocols import Protocol
from bench.peers.running import Running
from contract.endpoints import Endpoints
from contract.files import read_model
from contract.manifest import Manifest
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from serving.engines import triton
from serving.places.ports import LOOPBACK, choose_ports, host_port

OURS = "loadproof"
SERVED = "sentiment"  # the model's name where a peer's protocol asks for one


@dataclass(frozen=True)
class Peer:
    """One row of the table. ``protocols`` makes label -> Protocol from the model's outputs."""

    package: str
    protocols: Callable[[list[TensorSpec]], dict[str, Protocol]]
    shared_memory: str = ""


PEERS = {
    "fastapi": Peer(
        "fastapi",
        lambda outputs: {
            "json": protocols.json_rows("/predict"),
            "bytes": protocols.bare_bytes("/predict/bytes"),
        },
    ),
    "litserve": Peer("litserve", lambda outputs: {"json": protocols.json_rows("/predict")}),
    "bentoml": Peer("bentoml", lambda outputs: {"json": protocols.json_rows("/predict")}),
    "mlserver": Peer(
        "mlserver",
        lambda outputs: {
            "json": protocols.json_v2(f"/v2/models/{SERVED}/infer"),
            "grpc": protocols.triton("grpc", SERVED, 1, outputs),
        },
    ),
    "pytriton": Peer(
        "nvidia-pytriton",
        lambda outputs: {name: protocols.triton(name, SERVED, 1, outputs) for name in ("http", "grpc")},
        shared_memory="pytrtion{pid}-",  # as PyTriton spells it
    ),
    "mosec": Peer("mosec", lambda outputs: {"msgpack": protocols.msgpack_bytes("/inference")}),
}


@dataclass(frozen=True)
class Started:
    """A server that was told to start: label -> (protocol, address). Ours knows its addresses when it is ready."""

    server: Running
    endpoints: Callable[[], dict[str, tuple[Protocol, str]]]


@dataclass(frozen=True)
class Stage:
    """What every contender is given: a folder of its own, the model and its manifest, where environments are kept."""

    work: Path
    workspace: Workspace
    model: Path
    manifest: Manifest
    cache: Path


def start(name: str, stage: Stage) -> Started:
    """Start one contender."""
    folder = stage.work / name
    folder.mkdir(exist_ok=True)
    own = {OURS: _start_ours, EMPTY: _start_empty}
    return own[name](stage, folder) if name in own else _start_peer(name, stage, folder)


def compared_with(label: str) -> list[str]:
    """Which rows of ours stand beside a peer's: the same protocol where both have it, else both of ours, and of
    our Triton without a model."""
    protocol = label.split("/")[1]
    same = {"grpc": ["grpc"], "http": ["http"], "json": ["http"]}
    beside = same.get(protocol)
    if beside is None:  # what stands between any backend in Python and this peer is Triton itself
        return [f"{name}/{one}" for name in (OURS, EMPTY) for one in ("http", "grpc")]
    return [f"{OURS}/{one}" for one in beside]


def _start_peer(name: str, stage: Stage, folder: Path) -> Started:
    peer = PEERS[name]
    python = environments.interpreter(name, stage.cache)
    ports = choose_ports({"http": 0, "grpc": 0}, name)
    environment = {
        "MODEL": str(stage.model),
        "PORT": str(ports["http"]),
        "GRPC_PORT": str(ports["grpc"]),
        "HOME": str(folder),  # what a peer keeps of its own is gone with the folder
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "",
        "BENTOML_DO_NOT_TRACK": "True",
        "LD_LIBRARY_PATH": triton.library_folder(),  # which PyTriton asks for
    }
    server = Running(
        name,
        [str(python), "server.py"],
        environment,
        environments.HERE / name,
        folder / "log",
        shared_memory=peer.shared_memory,
    )
    found = {
        f"{name}/{label}": (protocol, host_port(LOOPBACK, ports[protocol.transport]))
        for label, protocol in peer.protocols(stage.manifest.outputs).items()
    }
    return Started(server, lambda: found)


def _start_ours(stage: Stage, folder: Path) -> Started:
    workspace = stage.workspace
    server = ours.serving(OURS, workspace, folder / "log")

    def endpoints() -> dict[str, tuple[Protocol, str]]:
        if not workspace.endpoints.is_file():
            return {}
        known = read_model(workspace.endpoints, Endpoints, "make serve").endpoints
        return {
            f"{OURS}/{item.protocol}": (
                protocols.triton(item.protocol, item.served_name, item.version, item.outputs),
                item.address,
            )
            for item in known
        }

    return Started(server, endpoints)


def _start_empty(stage: Stage, folder: Path) -> Started:
    workspace = Workspace(folder)
    shutil.rmtree(workspace.triton_repository, ignore_errors=True)
    add(workspace.triton_repository, EMPTY, "onnx", stage.model, stage.manifest)
    launch = triton.launch(workspace, "process", triton.WHEEL_RELEASE)
    command = [*launch.command, f"--load-model={EMPTY}"]
    server = Running(EMPTY, command, launch.environment, folder, folder / "log", shared_memory=launch.shm_prefix or "")
    found = {
        f"{EMPTY}/{label}": (
            protocols.triton(label, EMPTY, 1, stage.manifest.outputs),
            host_port(LOOPBACK, launch.ports[label]),
        )
        for label in ("http", "grpc")
    }
    return Started(server, lambda: found)
