"""live/payloads/ and results/<id>/payloads/: requests serialised once, so that load workers only send bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.codecs import codec_for
from contract.endpoints import PayloadEntry, PayloadIndex, Protocol
from contract.files import write_bytes, write_json
from contract.golden import Example
from contract.tensors import TensorSpec

INDEX = "index.json"


def serialise(
    engine: str,
    protocol: Protocol,
    name: str,
    version: int | str,
    outputs: list[TensorSpec],
    examples: Sequence[Example],
    folder: Path,
) -> PayloadIndex:
    """Serialise every request to the model ``name`` (as the server knows it) and write the index last."""
    codec = codec_for(engine, protocol)
    entries = []
    for example in examples:
        payload = codec.encode(name, version, example.inputs, outputs)
        file = f"{example.key}.bin"
        write_bytes(folder / file, payload.body, lasting=False)
        entries.append(PayloadEntry(key=example.key, file=file, headers=payload.headers, rows=example.rows))
    index = PayloadIndex(schema_version=1, protocol=protocol, target=codec.target(name, version), payloads=entries)
    write_json(folder / INDEX, index)
    return index
