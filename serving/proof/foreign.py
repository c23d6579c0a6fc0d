"""What models.toml declares on servers that are not ours, beside the export that is said to run there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contract.config import Model, ModelsFile
from contract.elsewhere import Elsewhere
from contract.errors import UsageError
from contract.hosts import first_foreign, host_of
from contract.manifest import GOLDEN, FormatRecord, Manifest, read_newest
from contract.workspace import Workspace

ENGINE: Literal["kserve"] = "kserve"


@dataclass(frozen=True)
class Foreign:
    """One model on a server that is not ours. ``number`` counts those of one model, format and protocol, from 1."""

    model_name: str
    model: Model
    place: Elsewhere
    number: int
    record: FormatRecord
    manifest: Manifest
    golden: Path

    def __str__(self) -> str:
        return f"{self.name} at {self.place.address} over {self.place.protocol}"

    @property
    def engine(self) -> str:
        return ENGINE

    @property
    def name(self) -> str:
        return self.place.name or self.model_name

    @property
    def version(self) -> str:
        return self.place.version or ""

    @property
    def again(self) -> str:
        """What sets it apart from others of its kind."""
        return f"-{self.number}" if self.number > 1 else ""

    @property
    def id(self) -> str:
        return f"{self.model_name}__{self.place.format}__{ENGINE}__{self.place.protocol}{self.again}"

    @property
    def payloads(self) -> str:
        """Where its requests are, relative to ``live/``; its name there may be that of another model elsewhere."""
        return f"payloads/{ENGINE}/{self.model_name}__{self.place.format}/{self.place.protocol}{self.again}"


def plan(config: ModelsFile, group: str, workspace: Workspace) -> tuple[list[Foreign], dict[str, str]]:
    """What is declared elsewhere, and what of it cannot be proven, with the status of its export."""
    found: list[Foreign] = []
    refused: dict[str, str] = {}
    for name, model in config.group(group).items():
        seen: Counter[tuple[str, str]] = Counter()
        for place in model.elsewhere:
            directory, manifest = read_newest(workspace.artifacts / name)
            record = manifest.formats.get(place.format)
            if record is None or not record.ok:
                status = record.status if record else "it was not exported; run 'make export' again"
                refused[f"{name} {place.format} at {place.address}"] = status
                continue
            seen[place.format, place.protocol] += 1
            number = seen[place.format, place.protocol]
            found.append(Foreign(name, model, place, number, record, manifest, directory / GOLDEN))
    return found, refused


def refuse_hosts(places: Iterable[Foreign], allowed_hosts: Sequence[str]) -> None:
    """Raises UsageError for the first server beyond loopback whose host nobody allowed."""
    address = first_foreign((item.place.address for item in places), allowed_hosts)
    if address is not None:
        raise UsageError(
            f"{address} is beyond this machine; if you may send it requests, "
            f"say so with --allow-host {host_of(address)}"
        )
