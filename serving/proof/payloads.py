"""The golden requests, serialised once for each served model and protocol, so that load workers only send bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol as Interface

from contract.config import Model
from contract.endpoints import PayloadIndex, Protocol
from contract.files import copy_folder
from contract.golden import Example
from contract.manifest import FormatRecord, Manifest
from contract.payloads import serialise

PROTOCOLS: dict[str, tuple[Protocol, ...]] = {"triton": ("http", "grpc"), "tfserving": ("grpc", "rest")}


class Asked(Interface):
    """A model as far as asking it goes: one that we serve (`serving.layout.repository.Served`), or one elsewhere."""

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
    folder = live / (where or folder_name(served, protocol))
    outputs = served.manifest.outputs
    return serialise(served.engine, protocol, served.name, served.version, outputs, examples, folder)


@contextmanager
def put_back_where_it_fails(served: Asked, live: Path) -> Iterator[None]:
    """The requests of what is served so far are there again where the block fails: its endpoints go on naming them.

    They are copied first, so that a full disk is met (OSError) before anything has changed.
    """
    folder = (live / folder_name(served, PROTOCOLS[served.engine][0])).parent
    kept = folder.with_name(f"{folder.name}.before")
    shutil.rmtree(kept, ignore_errors=True)  # of one that was killed
    try:
        copy_folder(folder, kept)
        try:
            yield
        except BaseException:
            shutil.rmtree(folder)
            kept.rename(folder)
            raise
    finally:
        shutil.rmtree(kept, ignore_errors=True)
