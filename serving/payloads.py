"""The golden requests, serialised once for each served model and protocol, so that load workers only send bytes."""

from __future__ import annotations

from pathlib import Path

from contract.codecs import codec_for
from contract.endpoints import PayloadEntry, PayloadIndex, Protocol
from contract.files import write_bytes, write_json
from contract.golden import Example
from serving.repository import Served

INDEX = "index.json"
PROTOCOLS: dict[str, tuple[Protocol, ...]] = {"triton": ("http", "grpc"), "tfserving": ("grpc", "rest")}


def folder_name(served: Served, protocol: Protocol) -> str:
    """Where the requests are, relative to ``live/``."""
    return f"payloads/{served.engine}/{served.name}/{protocol}"


def write_payloads(served: Served, protocol: Protocol, examples: list[Example], live: Path) -> PayloadIndex:
    """Serialise every request and write the index last."""
    codec = codec_for(served.engine, protocol)
    folder = live / folder_name(served, protocol)
    entries = []
    for example in examples:
        payload = codec.encode(served.name, served.version, example.inputs, served.manifest.outputs)
        file = f"{example.key}.bin"
        write_bytes(folder / file, payload.body)
        entries.append(PayloadEntry(key=example.key, file=file, headers=payload.headers, rows=example.rows))
    index = PayloadIndex(
        schema_version=1, protocol=protocol, target=codec.target(served.name, served.version), payloads=entries
    )
    write_json(folder / INDEX, index)
    return index
