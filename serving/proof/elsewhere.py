"""Models on servers that are not ours: asked who they are, compared with the manifest, proven like our own.

Nothing is started here, and nothing of it is watched or stopped. What such a server does not tell stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contract.compare import Parity
from contract.config import ModelsFile
from contract.endpoints import Configuration, Endpoint, Endpoints, ServerRecord
from contract.errors import LoadproofError, ServerError, UsageError
from contract.files import sha256_file
from contract.golden import Example, read_examples
from contract.hosts import beyond_loopback, host_of
from contract.progress import say, track
from contract.tensors import DTYPES, TensorSpec
from contract.workspace import Workspace
from serving.proof.foreign import ENGINE, Foreign
from serving.proof.kserve_metadata import UNKNOWN, Described, describe
from serving.proof.payloads import write_payloads
from serving.proof.probe import Probed, probe, probe_together
from serving.proof.proving import insist

HINT = "if the server joins requests into batches, let it join only those of one shape"


def prove_all(config: ModelsFile, places: list[Foreign], workspace: Workspace) -> list[Endpoint]:
    """Every declared model as a proven endpoint, in that order."""
    return [prove(config, item, workspace) for item in track(places, "ask elsewhere", "model")]


def prove(config: ModelsFile, item: Foreign, workspace: Workspace) -> Endpoint:
    """Compare what the server says with the manifest, then every golden request's answer with the trained model's.

    Raises ServerError where there is no answer, UsageError where another model is there, ParityError where the
    answers are wrong.
    """
    place, client = item.place, config.client
    described = describe(place, item.name, client)
    _compare(item, described)
    examples = _examples(item)
    index = write_payloads(item, place.protocol, examples, workspace.live, item.payloads)
    folder = workspace.live / item.payloads
    probed = probe(item, index, folder, place.address, examples, client)
    insist(probed.parity, str(item))
    try:
        together = probe_together(item, index, folder, place.address, examples, client)
    except ServerError as error:
        raise ServerError(f"{item} answers one request at a time, but not many: {error}; {HINT}") from None
    insist(together, f"{item}, asked many requests at a time,")
    golden = str(item.golden.relative_to(workspace.root))
    return _endpoint(config, item, described, probed, together, golden)


def _compare(item: Foreign, described: Described) -> None:
    """Raises UsageError where the server's metadata tells of other tensors than the manifest."""
    if not described.inputs and not described.outputs:
        say(f"{item} does not tell its inputs and outputs: its answers are all that is compared")
        return
    sides = (("input", item.manifest.inputs, described.inputs), ("output", item.manifest.outputs, described.outputs))
    wrong = [sentence for side, specs, told in sides for sentence in mismatches(side, specs, told)]
    if wrong:
        raise UsageError(
            f"{item.name} at {item.place.address} is not {item.model_name} as {item.place.format}: {'; '.join(wrong)}; "
            "name another model with 'name', or another 'version' or 'format', in its table elsewhere of models.toml"
        )


def mismatches(side: str, specs: Sequence[TensorSpec], told: Mapping[str, str]) -> list[str]:
    """How a server's names and datatypes differ from a signature's, one sentence each; more outputs do no harm."""
    if not told:
        return []
    wrong = []
    for spec in specs:
        datatype = DTYPES[spec.dtype].triton
        if spec.name not in told:
            wrong.append(f"it has no {side} '{spec.name}' (it has {', '.join(told)})")
        elif told[spec.name] != datatype:
            wrong.append(f"its {side} '{spec.name}' is {told[spec.name]}, the export has {datatype}")
    unknown = [name for name in told if side == "input" and name not in {spec.name for spec in specs}]
    return wrong + [f"it wants an input '{name}' that the export does not have" for name in unknown]


def _examples(item: Foreign) -> list[Example]:
    """The golden requests that the server takes. Raises UsageError where there are none, or not the export's."""
    if not item.golden.exists() or sha256_file(item.golden) != item.manifest.golden_sha256:
        raise UsageError(f"{item.golden} is not what its manifest says; run 'make export' again")
    limit = item.place.max_rows
    found = [example for example in read_examples(item.golden) if limit is None or example.rows <= limit]
    if not found:
        raise UsageError(f"no golden request of {item.model_name} has at most max_rows = {limit} rows; raise it")
    return found


def _endpoint(
    config: ModelsFile, item: Foreign, described: Described, probed: Probed, together: Parity, golden: str
) -> Endpoint:
    if item.record.sha256 is None or item.record.parity is None:
        raise LoadproofError(f"the manifest of {item.id} says ok without a hash or a parity; run 'make export' again")
    return Endpoint(
        id=item.id,
        model=item.model_name,
        version=item.manifest.version,
        format=item.place.format,
        engine=ENGINE,
        engine_kind="real",
        engine_version=described.server,
        backend_kind="native",
        stand_in_for=None,
        device=UNKNOWN,
        protocol=item.place.protocol,
        address=item.place.address,
        served_name=item.name,
        served_version=item.version,
        configuration=Configuration(max_batch_size=None, max_queue_delay_us=None, instances=None, threads=None),
        conditions=_conditions(config, described),
        artifact_sha256=item.record.sha256,
        parity_export=item.record.parity,
        parity_engine=together,
        parity_endpoint=probed.parity,
        load_to_ready_s=0.0,  # it was loaded before: not ours to measure
        first_request_ms=probed.first_request_ms,
        payloads=item.payloads,
        inputs=item.manifest.inputs,
        outputs=item.manifest.outputs,
        golden=golden,
        atol=item.record.atol,
        rtol=item.record.rtol,
        slo=item.model.slo,
        accuracy=item.manifest.accuracy,
    )


def _conditions(config: ModelsFile, described: Described) -> dict[str, str]:
    """Of the fairness sheet, what is known."""
    found = {"server": f"{described.server}, elsewhere"}
    if described.platform:
        found["library"] = f"{described.platform} (by its own account)"
    return found | {"load's cores": ", ".join(map(str, config.affinity.load)) or "all"}


def joined(known: Endpoints, found: list[Endpoint], unserved: Mapping[str, str]) -> Endpoints:
    """live/endpoints.json with what was just proven elsewhere, instead of what was before."""
    servers = {endpoint.address: _server(endpoint) for endpoint in found}
    beside = dict.fromkeys(f"{item.served_name} on {ENGINE}" for item in found if not beyond_loopback(item.address))
    update = {
        "endpoints": [*(item for item in known.endpoints if item.engine != ENGINE), *found],
        "servers": [*(item for item in known.servers if item.engine != ENGINE), *servers.values()],
        "resident": [*(name for name in known.resident if not name.endswith(f" on {ENGINE}")), *beside],
        "unserved": dict(unserved),
    }
    return known.model_copy(update=update)


def _server(endpoint: Endpoint) -> ServerRecord:
    """Where it is, so that the load test can say why nothing is known of what it uses."""
    return ServerRecord(
        engine=ENGINE,
        engine_kind="real",
        engine_version=endpoint.engine_version,
        place="url",
        host=host_of(endpoint.address),
        pid=None,
        pid_started=None,
        container=None,
        command=[],
        ports={endpoint.protocol: int(endpoint.address.rpartition(":")[2])},
        log="kept where the server runs",
        shm_prefix=None,
    )
