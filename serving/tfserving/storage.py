"""Which version directories of a model should be served: the policy, applied to what is on disk now.

Any directory whose name is an int64 is a version ("00000123" is 123). Reading the disk is all this module
does; whoever calls it again later has polling.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Content = tuple[tuple[str, int, int], ...]

_INT64 = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True)
class VersionPolicy:
    """latest: the ``count`` highest versions; all: every one; specific: those in ``versions``."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelEntry:
    """A model as the configuration asks for it."""

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Found:
    """The versions to serve, and what a person should hear; not ``readable``: the base path could not be read."""

    paths: dict[int, Path]
    notes: list[str] = field(default_factory=list)
    readable: bool = True


def find_versions(entry: ModelEntry) -> Found:
    """Apply the entry's policy to its base path; a missing base path is a note, not an error."""
    try:
        children = sorted(child for child in entry.base_path.iterdir() if child.is_dir())
    except OSError as error:
        reason = f"for servable {entry.name} with error {error.strerror}"
        return Found({}, [f"Could not find base path {entry.base_path} {reason}"], readable=False)
    found = Found({})
    present: dict[int, Path] = {}
    for child in children:
        version = _version_number(child.name)
        if version is None:
            continue
        if version in present:
            found.notes.append(
                f"Duplicate version directories detected. Version {version} will be loaded"
                f" from {child.name}, "
                f"{present[version].name} will be ignored."
            )
        present[version] = child
    for version in sorted(_chosen(entry, set(present), found.notes)):
        found.paths[version] = present[version]
    if not found.paths:
        found.notes.append(
            f"No versions of servable {entry.name} found under base path {entry.base_path}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    return found


def content_of(path: Path) -> Content:
    """What can be seen of a directory without reading its files: names, sizes and times; () if it is gone."""
    files = []
    for directory, _, names in os.walk(path):
        for name in names:
            file = os.path.join(directory, name)
            try:
                found = os.stat(file)
            except OSError:  # on its way in or out
                continue
            files.append((file, found.st_size, found.st_mtime_ns))
    return tuple(sorted(files))


def _chosen(entry: ModelEntry, present: set[int], notes: list[str]) -> set[int]:
    policy = entry.policy
    if policy.kind == "all":
        return present
    if policy.kind == "latest":
        return set(sorted(present)[-max(policy.count, 1) :])
    for version in sorted(set(policy.versions) - present):
        notes.append(
            f"Version {version} of servable {entry.name}, which was requested to be served as a"
            " 'specific' version in the servable's version policy, was not found in the file system"
        )
    return present & set(policy.versions)


def _version_number(name: str) -> int | None:
    if not _INT64.fullmatch(name):
        return None
    version = int(name)
    return version if -(1 << 63) <= version < 1 << 63 else None
