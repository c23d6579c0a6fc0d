"""python -m export show: the matrix of models and formats, each cell with its proof or its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser
from contract.errors import UsageError
from contract.files import read_model
from contract.manifest import MANIFEST, FormatRecord, Manifest, versions_of

REASON_WIDTH = 160


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m export show", description="Show what was exported, and how it was proven.")
    parser.add_argument("directory", type=Path, help="artifacts, the folder of one model, or one version of it")
    parser.add_argument("--json", action="store_true", help="the manifests as one JSON document")
    options = parser.parse_args(arguments)
    manifests, unreadable = [], []
    for folder in folders(options.directory):
        try:
            manifests.append(read(folder))
        except UsageError as error:
            unreadable.append(error)
    if options.json:
        print(json.dumps([manifest.model_dump(mode="json") for manifest in manifests], indent=2, ensure_ascii=False))
    elif manifests:
        print(matrix(manifests))
    if unreadable:
        raise unreadable[0]
    return 0


def folders(directory: Path) -> list[Path]:
    """The versions that a path means: itself, the newest of a model, or the newest of every model below."""
    if (directory / MANIFEST).is_file():
        found = [directory]
    elif versions_of(directory):
        found = [directory / str(versions_of(directory)[-1])]
    else:
        below = sorted(item for item in directory.iterdir() if versions_of(item)) if directory.is_dir() else []
        found = [item / str(versions_of(item)[-1]) for item in below]
    if not found:
        raise UsageError(f"{directory} holds no complete export; run 'make export' first, or name its artifacts folder")
    return found


def read(folder: Path) -> Manifest:
    """The manifest of one version."""
    return read_model(folder / MANIFEST, Manifest, "make export")


def matrix(manifests: Sequence[Manifest]) -> str:
    """A row per model and format, then what every cell that is not ok has to say. Readable without colour."""
    rows = [["model", "source", "format", "status", "max |diff|", "classes", "accuracy", "size", "seconds", "route"]]
    for manifest in manifests:
        for form, record in manifest.formats.items():
            rows.append([manifest.model, manifest.source, form, *_cells(record)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    reasons = [
        f"{manifest.model} {form}: {_short(record.status)}"
        for manifest in manifests
        for form, record in manifest.formats.items()
        if not record.ok
    ]
    reasons += [f"{manifest.model}: note: {_short(note)}" for manifest in manifests for note in manifest.notes]
    return "\n".join([*lines, *([""] if reasons else []), *reasons])


def _cells(record: FormatRecord) -> list[str]:
    parity, decisions = record.parity, record.decisions
    agreement = decisions.agreement if decisions else parity.agreement if parity else None
    return [
        record.status.partition(":")[0],
        f"{parity.max_abs:.1e}" if parity and parity.max_abs is not None else "-",
        f"{agreement:.1%}" if agreement is not None else "-",
        f"{decisions.accuracy_trained:.3f} > {decisions.accuracy:.3f}" if decisions else "-",
        f"{record.bytes / 1024:.0f} KiB" if record.bytes is not None else "-",
        f"{record.seconds:.1f}",
        record.route,
    ]


def _short(text: str) -> str:
    return text if len(text) <= REASON_WIDTH else text[: REASON_WIDTH - 1] + "…"
