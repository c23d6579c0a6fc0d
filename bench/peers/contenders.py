"""Who takes part: our Triton and the peers, how each is started, and over which protocols it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.peers import environments, ours, protocols
from bench.peers.protocols import Protocol
from bench.peers.running import Running
from contract.endpoints import Endpoints
from contract.files import read_model
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from serving.engines.triton import library_folder
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
    """What every contender is given: a folder of its own, the model, its outputs, where environments are kept."""

    work: Path
    workspace: Workspace
    model: Path
    outputs: list[TensorSpec]
    cache: Path


def start(name: str, stage: Stage) -> Started:
    """Start one contender."""
    folder = stage.work / name
    folder.mkdir(exist_ok=True)
    return _start_ours(stage, folder) if name == OURS else _start_peer(name, stage, folder)


def labels(name: str, outputs: list[TensorSpec]) -> list[str]:
    """The rows that a contender has in the table."""
    if name == OURS:
        return [f"{OURS}/http", f"{OURS}/grpc"]
    return [f"{name}/{label}" for label in PEERS[name].protocols(outputs)]


def compared_with(label: str) -> list[str]:
    """Which rows of ours stand beside a peer's: the same protocol where both have it, else both of ours."""
    protocol = label.split("/")[1]
    same = {"grpc": ["grpc"], "http": ["http"], "json": ["http"]}
    return [f"{OURS}/{ours}" for ours in same.get(protocol, ["http", "grpc"])]


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
        "LD_LIBRARY_PATH": library_folder(),  # which PyTriton asks for
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
        for label, protocol in peer.protocols(stage.outputs).items()
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
