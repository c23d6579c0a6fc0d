"""The two servers that are measured: a Triton with our backends and the peers, and the embedded TF Serving."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.hop.repository import EMBEDDED, FORMATS, PEERS, lay_out, lay_out_embedded
from bench.peers import protocols
from bench.peers.asking import Question, ask
from bench.peers.running import ROOT, Running
from contract.golden import Example
from contract.manifest import Manifest
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines import triton
from serving.layout.tfserving_config import THREADS
from serving.places.ports import LOOPBACK, choose_ports, host_port
from serving.places.starting import place_of, start

Addresses = dict[tuple[bool, str], str]  # (whether it is the embedded server's, protocol) -> host:port


@contextmanager
def in_triton(workspace: Workspace, artifacts: Path, manifest: Manifest) -> Iterator[Addresses]:
    """A Triton that holds our backends and the peers."""
    lay_out(workspace.triton_repository, artifacts, manifest)
    server, _ = start(
        lambda: triton.launch(workspace, "process", triton.WHEEL_RELEASE), "process", workspace, lambda _: "2.51.0"
    )
    try:
        control = TritonControl(host_port(LOOPBACK, server.ports["http"]))
        for name in (*FORMATS, *PEERS):
            control.load(name)
        yield {(False, protocol): host_port(LOOPBACK, server.ports[protocol]) for protocol in ("http", "grpc")}
    finally:
        place_of(server).stop(server)


@contextmanager
def in_embedded(workspace: Workspace, artifacts: Path, manifest: Manifest, example: Example) -> Iterator[Addresses]:
    """The embedded TF Serving with the SavedModel."""
    base = lay_out_embedded(workspace.tfserving_repository, artifacts, manifest)
    ports = choose_ports({"grpc": 0, "rest": 0}, "TF Serving")
    command = [sys.executable, "-m", "serving.tfserving", f"--model_name={EMBEDDED}", f"--model_base_path={base}"]
    command += [f"--port={ports['grpc']}", f"--rest_api_port={ports['rest']}", f"{THREADS}1"]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    rest = protocols.tfserving("rest", EMBEDDED, 1, manifest.outputs)
    asked = Question(example, manifest.formats["savedmodel"].tolerance)

    def ready() -> str:
        window = ask(asked, rest, host_port(LOOPBACK, ports["rest"]), 1, 0.0, 0.05)
        return "" if window.answers else window.first_error or "no answer"

    with Running(EMBEDDED, command, quiet, ROOT, workspace.root / f"{EMBEDDED}.log") as server:
        server.wait(ready)
        yield {(True, protocol): host_port(LOOPBACK, port) for protocol, port in ports.items()}
