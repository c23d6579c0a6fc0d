"""Prove what an engine serves: its golden requests as bytes, its answers, and the entries of live/endpoints.json."""

from __future__ import annotations

import shutil
from typing import Literal

from contract.compare import Parity
from contract.config import ModelsFile
from contract.endpoints import Configuration, Endpoint, Protocol, ServerRecord
from contract.errors import LoadproofError, ParityError
from contract.golden import read_examples
from contract.hosts import beyond_loopback
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines.device import device, holds_gpu
from serving.engines.tfserving_told import NOT_TOLD, told
from serving.layout.releases import stand_in_for
from serving.layout.repository import Served, triton_config
from serving.layout.triton_configuration import triton_configuration
from serving.places.ports import host_port
from serving.proof.conditions import conditions, instance_mib
from serving.proof.payloads import PROTOCOLS, folder_name, write_payloads
from serving.proof.probe import Probed, probe, probe_together


def prove(
    config: ModelsFile, item: Served, server: ServerRecord, ready_s: float, workspace: Workspace
) -> list[Endpoint]:
    """Send every golden request over every protocol, one by one, and many at once over the first.

    Raises ParityError where an answer is wrong, ServerError where there is none.
    """
    examples = read_examples(item.golden)
    engine: Parity | None = None
    endpoints = []
    for protocol in PROTOCOLS[item.engine]:
        index = write_payloads(item, protocol, examples, workspace.live)
        folder = workspace.live / folder_name(item, protocol)
        address = host_port(server.host, server.ports[protocol])
        probed = probe(item, index, folder, address, examples)
        insist(probed.parity, f"{item.name} on {item.engine} over {protocol}")
        if engine is None:
            engine = probe_together(item, index, folder, address, examples)
            insist(engine, f"{item.name} on {item.engine}, where the engine joins requests,")
        golden = str(item.golden.relative_to(workspace.root))
        endpoints.append(_endpoint(config, item, protocol, server, probed, engine, ready_s, golden))
    return endpoints


def prove_older(item: Served, server: ServerRecord, workspace: Workspace) -> None:
    """Ask every version that is served beside the newest its own golden requests; no load test asks for them.

    Raises ParityError where an answer is wrong, ServerError where there is none.
    """
    protocol = PROTOCOLS[item.engine][0]
    address = host_port(server.host, server.ports[protocol])
    for older in item.older:
        examples = read_examples(older.golden)
        where = f"{folder_name(older, protocol)}-{older.version}"
        try:
            index = write_payloads(older, protocol, examples, workspace.live, where)
            parity = probe(older, index, workspace.live / where, address, examples).parity
        finally:
            shutil.rmtree(workspace.live / where, ignore_errors=True)
        insist(parity, f"version {older.version} of {older.name}, which is served beside version {item.version},")


def insist(parity: Parity, what: str) -> None:
    """Raise ParityError where the answers of ``what`` are not the trained model's."""
    if not parity.passed:
        raise ParityError(f"{what} does not agree with the trained model: {'; '.join(parity.reasons)}")


def _endpoint(
    config: ModelsFile,
    item: Served,
    protocol: Protocol,
    server: ServerRecord,
    probed: Probed,
    engine: Parity,
    ready_s: float,
    golden: str,
) -> Endpoint:
    if item.record.sha256 is None or item.record.parity is None:
        raise LoadproofError(f"the manifest of {item.name} says ok without a hash or a parity; run 'make export' again")
    kind = _backend_kind(item, server)
    return Endpoint(
        id=f"{item.model_name}__{item.format}__{item.engine}__{protocol}",
        model=item.model_name,
        version=item.version,
        format=item.format,
        engine=server.engine,
        engine_kind=server.engine_kind,
        engine_version=server.engine_version,
        backend_kind=kind,
        stand_in_for=_stand_in(item, server, kind, config.target),
        device=_device(item, server),
        protocol=protocol,
        address=host_port(server.host, server.ports[protocol]),
        served_name=item.name,
        configuration=configuration(item, server),
        conditions=conditions(config, item, server, native=kind == "native"),
        instance_mib=instance_mib(item, server),
        artifact_sha256=item.record.sha256,
        parity_export=item.record.parity,
        parity_engine=engine,
        parity_endpoint=probed.parity,
        load_to_ready_s=ready_s,
        first_request_ms=probed.first_request_ms,
        payloads=folder_name(item, protocol),
        inputs=item.manifest.inputs,
        outputs=item.manifest.outputs,
        golden=golden,
        atol=item.record.atol,
        rtol=item.record.rtol,
        slo=item.model.slo,
        accuracy=item.manifest.accuracy,
    )


def configuration(item: Served, server: ServerRecord) -> Configuration:
    """What the model runs with: its own on Triton, on TF Serving what the server was told for all its models."""
    if item.engine == "triton":
        return triton_configuration(triton_config(item), item.format)
    found = told(server)
    return found.configuration() if found else NOT_TOLD


def _device(item: Served, server: ServerRecord) -> str:
    """Where the model runs; one that models.toml keeps on the CPU is there on any machine.

    What another machine runs on cannot be seen from here.
    """
    kept = item.engine == "triton" and item.model.triton.device == "cpu"
    if kept or server.engine_kind == "embedded":
        return "cpu"
    address = host_port(server.host, next(iter(server.ports.values())))
    if beyond_loopback(address):
        return "unknown"
    return device() if item.engine == "triton" else _tfserving_device(server)


def _tfserving_device(server: ServerRecord) -> str:
    """A TF Serving may be built without CUDA, and then leaves a GPU that is there alone."""
    here = device()
    if here == "cpu" or server.gpus or (server.pid is not None and holds_gpu(server.pid)):
        return here
    return "unknown" if server.place == "url" else "cpu"


def _backend_kind(item: Served, server: ServerRecord) -> Literal["native", "python"]:
    """How the engine runs the model: Triton says so itself."""
    if item.engine == "triton":
        control = TritonControl(host_port(server.host, server.ports["http"]))
        return "python" if control.runs_python(item.name) else "native"
    return "python" if server.engine_kind == "embedded" else "native"


def _stand_in(item: Served, server: ServerRecord, kind: Literal["native", "python"], target: str) -> str | None:
    if server.engine_kind == "embedded":
        return "TensorFlow Serving (tensorflow_model_server)"
    if item.engine != "triton":
        return None
    return stand_in_for(item.format, kind, target, python_runtime=item.model.batching.ragged)
