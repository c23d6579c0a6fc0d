"""One model's export: what is asked for, and whether it has been done already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contract.config import Model
from contract.errors import UsageError
from contract.files import read_model, sha256_file, sha256_tree
from contract.machine import versions
from contract.manifest import GOLDEN, MANIFEST, Manifest, versions_of
from export.own_code import module_file
from export.routes import packages

# What an export does not depend on: objectives, serving, and where files are (their contents count).
NOT_EXPORTED = {
    *("slo", "batching", "triton", "tfserving", "engines", "serve", "group", "elsewhere"),
    *("weights", "examples", "validation", "time_limit_s"),
}

OF_THE_MACHINE = ("failed: killed by signal", "failed: took longer than its limit")


@dataclass(frozen=True)
class Job:
    """What is exported, from which configuration file, to where (``artifacts/<model>``).

    ``code`` is the folder of a factory that was named by its file; any other is looked for beside ``config`` first.
    """

    name: str
    model: Model
    config: Path
    directory: Path
    code: Path | None = None

    @property
    def fingerprint(self) -> str:
        """Of the model as it is now, its factory where the steps find it."""
        return fingerprint(self.model, (self.code or self.config.parent).resolve())


def fingerprint(model: Model, folder: Path | None = None) -> str:
    """SHA-256 over everything that the artifacts depend on; objectives and batching are not among it.

    A factory is looked for in ``folder`` first.
    """
    excluded = NOT_EXPORTED | ({"source"} if model.path else set())
    facts: dict[str, object] = {
        "model": model.model_dump(mode="json", exclude=excluded),
        "versions": {form: versions(packages(model.kind, form)) for form in model.formats},
        "exporters": _exporters(),
        "source": _source(model, folder),
    }
    for label, path in (("weights", model.weights), ("examples", model.examples), ("validation", model.validation)):
        facts[label] = sha256_file(path) if path and path.is_file() else None
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@cache
def _exporters() -> str:
    """SHA-256 over this stage's own code: a mended exporter exports again."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _source(model: Model, folder: Path | None) -> str | None:
    """Of the source's bytes; for a factory, of its module and those beside it, which it may use."""
    if model.path is not None:
        if not model.path.exists():
            return None
        return _with_external_data(model.path) if model.kind == "onnx" else sha256_tree(model.path)
    found = module_file(model.source.partition(":")[0], folder)
    if found is None:
        return None
    digest = hashlib.sha256()
    for file in sorted(found.parent.glob("*.py")):
        digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _with_external_data(path: Path) -> str:
    """Of an ONNX file and of the files beside it that it names: there its large tensors may be."""
    content = path.read_bytes()
    named = [
        item for item in path.parent.iterdir() if item.is_file() and item != path and item.name.encode() in content
    ]
    digest = hashlib.sha256(content)
    for file in sorted(named):
        digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


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
    if manifest.fingerprint != job.fingerprint or damaged(directory, manifest):
        return None
    if any(record.status.startswith(OF_THE_MACHINE) for record in manifest.formats.values()):
        return None  # not by the model: worth another try
    return manifest


def damaged(directory: Path, manifest: Manifest) -> list[str]:
    """The files of a version that are missing or not what the manifest says."""
    expected = {GOLDEN: manifest.golden_sha256, **manifest.files_sha256}
    expected |= {record.path: record.sha256 or "" for record in manifest.formats.values() if record.path and record.ok}
    return [
        name
        for name, sha256 in expected.items()
        if not (directory / name).exists() or sha256_tree(directory / name) != sha256
    ]
