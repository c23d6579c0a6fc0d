"""The model repository: a triton tree and a tfserving tree, laid out from the newest complete artifacts.

Beside the newest lie the older ones that `versions` asks for, so that a start serves what a roll left served.
The trees are generated whole and swapped in by a rename; what does not change is left alone. Only formats that passed
parity are laid out.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from contract.config import Engine, Model, ModelsFile
from contract.errors import UsageError
from contract.files import copy_folder, sha256_file, sha256_tree, write_bytes, write_text
from contract.golden import Example, read_examples
from contract.manifest import GOLDEN, FormatRecord, Manifest
from contract.tensors import to_bytes
from contract.workspace import Workspace
from serving.layout.exports import Exports
from serving.layout.latency_buckets import counts_latency, latency_buckets
from serving.layout.tfserving_config import (
    BATCHING_CONFIG,
    MODELS_CONFIG,
    MONITORING,
    MONITORING_CONFIG,
    batching_config,
    models_config,
)
from serving.layout.triton_config import BACKENDS, model_config, to_text, warm_up_examples, warm_up_file
from serving.layout.version_policy import Listed, VersionPolicy, version_policy
from serving.places.turn import turn

EXPORT_AGAIN = "run 'make export' again, or remove {}"
# Triton's Python backend starts its child through a shell without quoting (until 25.08).
SAFE_PATH = re.compile(r"^[A-Za-z0-9._/-]+$")


@dataclass(frozen=True)
class Served:
    """One artifact that is laid out for one engine."""

    name: str
    model_name: str
    model: Model
    engine: Engine
    format: str
    version: int
    record: FormatRecord
    manifest: Manifest
    artifact: Path
    golden: Path
    older: tuple[Served, ...] = ()  # versions that are served beside this one, newest first

    def __str__(self) -> str:
        return f"{self.name} on {self.engine}"

    @property
    def policy(self) -> VersionPolicy:
        """Which versions its engine is to serve."""
        return policy_on(self.engine, self.model)


def policy_on(engine: Engine, model: Model) -> VersionPolicy:
    """Which versions of a model an engine is to serve."""
    return version_policy({"triton": model.triton.versions, "tfserving": model.tfserving.versions}[engine])


def served_name(model: str, form: str) -> str:
    """The model's name on Triton: one per format."""
    return f"{model}__{form}"


def plan(config: ModelsFile, group: str, workspace: Workspace) -> tuple[list[Served], dict[str, str]]:
    """What will be served, and what will not, with its status."""
    served: list[Served] = []
    refused: dict[str, str] = {}
    for name, model in config.group(group).items():
        exports = {engine: _exports(name, model, engine, workspace) for engine in model.engines}
        newest = {engine: of.newest() for engine, of in exports.items()}
        for version in dict.fromkeys(newest.values()):  # one, unless a list of versions holds an engine back
            engines = [engine for engine in model.engines if newest[engine] == version]
            found, why_not = _plan_version(name, model, {engine: exports[engine] for engine in engines}, version)
            served += found
            refused |= why_not
    return served, refused


def _exports(name: str, model: Model, engine: Engine, workspace: Workspace) -> Exports:
    return Exports(workspace.artifacts / name, policy_on(engine, model), f"models.{name}.{engine}.versions")


def _plan_version(
    name: str, model: Model, exports: dict[Engine, Exports], version: int
) -> tuple[list[Served], dict[str, str]]:
    """What the engines whose newest is ``version`` serve of it, and what not, with its status."""
    of_any = next(iter(exports.values()))
    directory, manifest = of_any.folder / str(version), of_any.read(version)
    served: list[Served] = []
    refused: dict[str, str] = {}
    for form, record in manifest.formats.items():
        if model.serve is not None and form not in model.serve:
            continue
        if not any(_takes(each, form) for each in exports) and any(_takes(each, form) for each in model.engines):
            continue  # the engines that take it serve another version, by which it is judged
        why = _not_servable(form, record, manifest)
        if why or record.path is None:
            held = any(isinstance(of.policy, Listed) for of in exports.values())
            of_version = f" (version {version}, the newest that is listed; list one that is proven)" if held else ""
            refused[f"{name} {form}"] = f"{why or record.status}{of_version}"
            continue
        if not any(_takes(engine, form) for engine in model.engines):
            refused[f"{name} {form}"] = f"none of its engines ({', '.join(model.engines)}) takes this format"
        for engine in (each for each in exports if _takes(each, form)):
            newest = Served(
                name=name if engine == "tfserving" else served_name(name, form),
                model_name=name,
                model=model,
                engine=engine,
                format=form,
                version=version,
                record=record,
                manifest=manifest,
                artifact=directory / record.path,
                golden=directory / GOLDEN,
            )
            served.append(replace(newest, older=_older(newest, exports[engine])))
    return served, refused


def _takes(engine: Engine, form: str) -> bool:
    return engine == "triton" or form == "savedmodel"


def _older(newest: Served, exports: Exports) -> tuple[Served, ...]:
    """What is served beside it, newest first."""
    return tuple(
        replace(
            newest,
            version=manifest.version,
            record=record,
            manifest=manifest,
            artifact=folder / str(record.path),
            golden=folder / GOLDEN,
        )
        for folder, manifest, record in exports.older(newest.manifest, newest.format)
    )


def _not_servable(form: str, record: FormatRecord, manifest: Manifest) -> str | None:
    """Why an export is not laid out, or None."""
    if not record.ok:
        return record.status
    if form not in BACKENDS:
        return "the local server has no backend for it (Triton's torch_aoti platform is beta and begins with 26.03)"
    first = {spec.dims[0] if spec.dims else None for spec in (*manifest.inputs, *manifest.outputs)}
    if len(first) != 1 or not isinstance(first.pop(), str):
        return "its tensors do not share a named first axis, along which a server could join requests"
    return None


def lay_out(served: list[Served], workspace: Workspace, release: str | None = None, checked: bool = False) -> None:
    """Write both trees. Raises UsageError as `check` does, which is not done twice where it was ``checked``, and where
    another command is changing the servers that read them.

    ``release`` is the Triton that will read its tree, where that is known: a tree for production, with what the release
    knows beyond the others. Without it the tree is one that the local server (24.10) reads too.
    """
    if not checked:
        check(served, workspace)
    for_triton = partial(_lay_out_triton, release=release)
    by_engine = {engine: [item for item in served if item.engine == engine] for engine in ("triton", "tfserving")}
    with turn(workspace, "repository"):
        _swap(workspace.triton_repository, by_engine["triton"], for_triton)
        _swap(workspace.tfserving_repository, by_engine["tfserving"], _lay_out_tfserving)


def check(served: list[Served], workspace: Workspace) -> None:
    """Raise UsageError for what could not be laid out: a path that Triton's Python backend could not take, files that
    are not what their manifest says, settings that do not fit the model.
    """
    root = str(workspace.triton_repository)
    if not SAFE_PATH.match(root):
        raise UsageError(
            f"the workspace's path {root} holds characters other than letters, digits, '.', '_', '-' and '/'; "
            "Triton's Python backend passes it through a shell, so choose another folder with --workspace"
        )
    for item in served:
        for version in (item, *item.older):
            check_files(version)
        if item.engine == "triton":
            triton_config(item)


def check_files(item: Served) -> None:
    """Raise UsageError where an artifact or its golden batch is not what the manifest says."""
    if not item.artifact.exists() or item.record.sha256 != sha256_tree(item.artifact):
        raise UsageError(f"{item.artifact} is not what its manifest says; {EXPORT_AGAIN.format(item.artifact.parent)}")
    if not item.golden.exists() or sha256_file(item.golden) != item.manifest.golden_sha256:
        raise UsageError(f"{item.golden} is not what its manifest says; {EXPORT_AGAIN.format(item.golden.parent)}")


def _swap(target: Path, items: list[Served], write: object) -> None:
    assert callable(write)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    write(items, fresh, target)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _lay_out_triton(items: list[Served], tree: Path, target: Path, release: str | None) -> None:
    for item in items:
        for version in (item, *item.older):
            write_triton_version(version, tree / item.name)
        write_triton_config(item, tree / item.name, release=release)


def write_triton_version(item: Served, folder: Path) -> None:
    """Put the artifact into the model's folder, where it appears whole."""
    copy_whole(item.artifact, folder / str(item.version) / BACKENDS[item.format].filename)


def write_triton_config(item: Served, folder: Path, warm_up: bool = True, release: str | None = None) -> None:
    """Write the warm-up requests, then config.pbtxt, which names them; ``release`` as in `lay_out`."""
    examples = warm_up_examples(read_examples(item.golden), item.model.batching.max_batch_size) if warm_up else []
    buckets = latency_buckets(item.model.slo) if release and counts_latency(release) else []
    _write_warm_up(folder / "warmup", examples)
    write_text(folder / "config.pbtxt", to_text(triton_config(item, examples, buckets)))


def triton_config(item: Served, warm_up: Sequence[Example] = (), buckets: Sequence[float] = ()) -> pb.ModelConfig:
    """config.pbtxt as it is laid out, as a message."""
    return model_config(
        item.name,
        item.format,
        item.manifest.inputs,
        item.manifest.outputs,
        item.model.batching,
        list(warm_up),
        item.record.sha256 or "",
        item.model.triton,
        item.model.padding,
        buckets,
        item.model.pad_with,
    )


def _write_warm_up(folder: Path, examples: list[Example]) -> None:
    for example in examples:
        for name, array in example.inputs.items():
            # Triton repeats the file's first row batch_size times (and refuses strings when there are more).
            write_bytes(folder / warm_up_file(example, name), to_bytes(array[:1]))


def _lay_out_tfserving(items: list[Served], tree: Path, target: Path) -> None:
    for item in items:
        for version in (item, *item.older):
            copy_whole(version.artifact, tree / item.name / str(version.version))
    entries = [(item.name, target / item.name, item.model.tfserving.versions) for item in items]
    write_text(tree / MODELS_CONFIG, models_config(entries))
    if items:
        write_text(tree / BATCHING_CONFIG, batching_config(items[0].model.batching, os.cpu_count() or 1))
    write_text(tree / MONITORING_CONFIG, MONITORING)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file or a folder so that ``target`` appears whole or not at all: a server may be watching."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        if source.is_dir():
            copy_folder(source, fresh)
        else:
            shutil.copy2(source, fresh)
        fresh.rename(target)
    except BaseException:  # Ctrl-C, too
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.unlink(missing_ok=True)
        raise
