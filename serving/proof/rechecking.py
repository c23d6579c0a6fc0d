"""Ask an endpoint that was proven before a few of its golden requests again: after a restart, say."""

from __future__ import annotations

from contract.compare import Parity, Tolerance, compare
from contract.endpoints import Endpoint, PayloadIndex
from contract.files import read_model
from contract.golden import read_examples
from contract.workspace import Workspace
from serving.proof.probe import TRANSPORTS, ask

FEW = 3


def recheck(endpoint: Endpoint, workspace: Workspace, requests: int = FEW) -> Parity:
    """Compare some answers with the trained model's. Raises ServerError where there is none."""
    folder = workspace.live / endpoint.payloads
    index = read_model(folder / "index.json", PayloadIndex, "make serve")
    golden = {example.key: example.outputs for example in read_examples(workspace.root / endpoint.golden)}
    send = TRANSPORTS[endpoint.protocol](endpoint.address, index.target)
    chosen = [entry for entry in index.payloads if entry.rows == 1][:requests]
    pairs = [
        (
            entry.key,
            golden[entry.key],
            ask(send, endpoint.engine, endpoint.served_name, endpoint.outputs, index, entry, folder),
        )
        for entry in chosen
    ]
    return compare(pairs, Tolerance(endpoint.atol, endpoint.rtol))
