"""The golden requests, serialised once for each served model and protocol, so that load workers only send bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol as Interface

from contract.codecs import codec_for
from contract.config import Model
from contract.endpoints import PayloadEntry, PayloadIndex, Protocol
from contract.files import write_bytes, write_json
from contract.golden import Example
from contract.manifest import FormatRecord, Manifest

INDEX = "index.json"
PROTOCOLS: dict[str, tuple[Protocol, ...]] = {"triton": ("http", "grpc"), "tfserving": ("grpc", "rest")}


class Asked(Interface):
    """A model as far as asking it goes: one that we serve (`serving.repository.Served`), or one elsewhere."""

    @property
    def engine(self) -> str: ...

    @property
    def name(self) -> str:
        """On the server."""
        ...

    @property
    def version(self) -> int | str:
        """On the server; empty where it has none."""
        ...

    @property
    def model(self) -> Model: ...

    @property
    def record(self) -> FormatRecord: ...

    @property
    def manifest(self) -> Manifest: ...


def folder_name(served: Asked, protocol: Protocol) -> str:
    """Where the requests are, relative to ``live/``."""
    return f"payloads/{served.engine}/{served.name}/{protocol}"


def write_payloads(
    served: Asked, protocol: Protocol, examples: list[Example], live: Path, where: str = ""
) -> PayloadIndex:
    """Serialise every request and write the index last, into ``folder_name(…)`` unless ``where`` names another."""
    codec = codec_for(served.engine, protocol)
    folder = live / (where or folder_name(served, protocol))
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
