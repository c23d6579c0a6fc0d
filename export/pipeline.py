"""Export one model: golden batch, every format, its proof, and the manifest, written last.

Work happens in a staging folder that becomes the version by one rename, so that a version either is complete or does
not exist. A version is never rewritten: when anything that the export depends on has changed, the next one is made.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contract.children import python, run_child, shown
from contract.compare import Parity
from contract.config import Model
from contract.errors import LoadproofError, UsageError
from contract.files import read_model, sha256_file, sha256_tree, write_json
from contract.machine import versions
from contract.manifest import GOLDEN, MANIFEST, FormatRecord, Manifest, versions_of
from export.routes import EXPORTERS, FILES, PACKAGES

FINGERPRINT = ".fingerprint"
# What an export does not depend on: objectives, serving, and where files are (their contents count).
NOT_EXPORTED = {"slo", "batching", "engines", "group", "weights", "examples"}


@dataclass(frozen=True)
class Job:
    """What is exported, from which configuration file, to where (``artifacts/<model>``)."""

    name: str
    model: Model
    config: Path
    directory: Path


def fingerprint(model: Model) -> str:
    """SHA-256 over everything that the artifacts depend on; objectives and batching are not among it."""
    facts: dict[str, object] = {
        "model": model.model_dump(mode="json", exclude=NOT_EXPORTED),
        "versions": {form: versions(PACKAGES.get(f"{model.framework}/{form}", [])) for form in model.formats},
        "exporters": sha256_tree(Path(__file__).parent / f"from_{model.framework}.py"),
    }
    if model.framework == "keras":
        facts["model"] = model.model_dump(mode="json", exclude=NOT_EXPORTED | {"source"})
    for label, path in (("weights", model.weights), ("examples", model.examples), ("source", _source_file(model))):
        facts[label] = sha256_file(path) if path and path.is_file() else None
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _source_file(model: Model) -> Path | None:
    if model.framework == "keras":
        return Path(model.source)
    try:
        found = importlib.util.find_spec(model.source.partition(":")[0])
    except (ModuleNotFoundError, ValueError):
        return None
    return Path(found.origin) if found and found.origin else None


def up_to_date(job: Job) -> Manifest | None:
    """The newest manifest, if nothing that it depends on has changed and its files are what they were."""
    complete = versions_of(job.directory)
    if not complete:
        return None
    directory = job.directory / str(complete[-1])
    try:
        manifest = read_model(directory / MANIFEST, Manifest, "make export")
    except UsageError:
        return None  # of another schema, or damaged: the next version replaces it
    if manifest.fingerprint != fingerprint(job.model) or not _unchanged(directory / GOLDEN, manifest.golden_sha256):
        return None
    for record in manifest.formats.values():
        if record.status.startswith("failed: killed by signal"):
            return None  # by the machine, not by the model: worth another try
        if record.ok and record.path and not _unchanged(directory / record.path, record.sha256):
            return None
    return manifest


def _unchanged(path: Path, sha256: str | None) -> bool:
    return path.exists() and sha256_tree(path) == sha256


@contextmanager
def staging(job: Job) -> Iterator[Path]:
    """A folder beside the versions that is gone again unless it was renamed."""
    for stale in job.directory.glob(".staging-*"):  # of a run that was killed
        owner = stale.name.removeprefix(".staging-")
        if owner == str(os.getpid()) or not Path(f"/proc/{owner}").exists():
            shutil.rmtree(stale, ignore_errors=True)
    folder = job.directory / f".staging-{os.getpid()}"
    folder.mkdir(parents=True)
    # Taken now: what changes during the export is exported again.
    (folder / FINGERPRINT).write_text(fingerprint(job.model))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_golden(job: Job, folder: Path) -> None:
    """Let the trained model answer the examples, in a process of its own."""
    command = step_command("golden", job, folder)
    ended = run_child(command, echo=False)
    if ended.code != 0:
        raise LoadproofError(f"{job.name}: the trained model did not answer its examples: {ended.reason}")


def export_format(job: Job, form: str, folder: Path) -> FormatRecord:
    """Export one format and verify it, each in a process of its own; failures become the record's status."""
    route = f"{job.model.framework}/{form}"
    if route not in EXPORTERS:
        status = f"unsupported: there is no exporter from {job.model.framework} to {form} yet"
        return FormatRecord(
            status=status,
            path=None,
            sha256=None,
            bytes=None,
            route="none",
            parity=None,
            versions={},
            seconds=0,
            reproduce=[],
        )
    commands = [step_command(step, job, folder, form) for step in ("export", "verify")]
    started = time.monotonic()
    status, parity, described = "ok", None, "none"
    for command in commands:
        ended = run_child(command, echo=False)
        if ended.interrupted:
            raise LoadproofError(f"{job.name}: {form} was interrupted; nothing was written")
        if ended.code != 0:
            status = f"failed: {ended.reason}"
            break
    artifact, parity_file, route_file = (
        folder / FILES[form],
        folder / f"{form}.parity.json",
        folder / f"{form}.route.json",
    )
    if route_file.is_file():
        described = json.loads(route_file.read_text())["route"]
    if parity_file.is_file():
        parity = read_model(parity_file, Parity, "make export")
    there = artifact.exists()
    return FormatRecord(
        status=status,
        path=FILES[form] if there else None,
        sha256=sha256_tree(artifact) if there else None,
        bytes=_size(artifact) if there else None,
        route=described,
        parity=parity,
        versions=versions(PACKAGES[route]),
        seconds=round(time.monotonic() - started, 1),
        reproduce=[shown(step_command(step, job, Path("DIR"), form)) for step in ("golden", "export", "verify")],
    )


def publish(job: Job, folder: Path, formats: dict[str, FormatRecord]) -> Manifest:
    """Write the manifest and rename the staging folder to the next version."""
    for leftover in (*folder.glob("*.route.json"), *folder.glob("*.parity.json")):
        leftover.unlink()
    taken = [int(item.name) for item in job.directory.iterdir() if item.name.isdigit()]
    number = max(taken, default=0) + 1
    manifest = Manifest(
        schema_version=1,
        model=job.name,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=(folder / FINGERPRINT).read_text(),
        framework=job.model.framework,
        inputs=job.model.inputs,
        outputs=job.model.outputs,
        atol=job.model.atol,
        rtol=job.model.rtol,
        golden_sha256=sha256_file(folder / GOLDEN),
        formats=formats,
        accuracy=_accuracy(job.model),
    )
    (folder / FINGERPRINT).unlink()
    write_json(folder / MANIFEST, manifest)
    folder.rename(job.directory / str(number))
    return manifest


def step_command(step: str, job: Job, folder: Path, form: str | None = None) -> list[str]:
    """The command line of one step; 'golden' takes no format."""
    words = [step, job.name, *([form] if form and step != "golden" else [])]
    return python("export.step", *words, "--config", str(job.config), "--directory", str(folder))


def _accuracy(model: Model) -> dict[str, float | int | str]:
    """What the training stage states beside the weights, if it states anything."""
    beside = model.weights or (Path(model.source) if model.framework == "keras" else None)
    card = beside.parent / "card.json" if beside else None
    if card is None or not card.is_file():
        return {}
    stated = json.loads(card.read_text())
    return {
        key: stated[key] for key in ("accuracy", "majority_baseline", "test_sentences", "data_sha256") if key in stated
    }


def _size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    )
