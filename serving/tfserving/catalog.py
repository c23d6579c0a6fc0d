"""The models, their versions and the state of each: what can answer now, and what became of the rest.

`apply` brings the catalog to a configuration, as TensorFlow Serving does: load what is new, then unload
what is no longer wanted. Calling it again with the same entries re-reads the disk (polling), with others it
is HandleReloadConfigRequest. A version that fails to load is in state END with its error; other models go
on serving.

Requests never wait for a load: they read one immutable snapshot, replaced whole.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.tfserving import errors
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.model import Model
from serving.tfserving.storage import ModelEntry, find_versions


class State(enum.IntEnum):
    """ModelVersionStatus.State."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """One version of one model, for GetModelStatus."""

    model: str
    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclass(frozen=True)
class Servable:
    """An available version."""

    name: str
    version: int
    model: Model
    path: Path


@dataclass(frozen=True)
class Applied:
    """What came of `Catalog.apply`: failed loads, labels that point at nothing, things worth saying."""

    failed: list[VersionStatus] = field(default_factory=list)
    unavailable_labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Snapshot:
    versions: Mapping[str, Mapping[int, Servable]]
    latest: Mapping[str, Servable]
    labels: Mapping[str, Mapping[str, int]]


class Catalog:
    """All models of a server. ``load`` turns a version directory into a Model or raises StatusError."""

    def __init__(self, load: Callable[[Path], Model]) -> None:
        self._load = load
        self._applying = threading.Lock()
        self._states: dict[str, dict[int, VersionStatus]] = {}
        self._available: dict[tuple[str, int], Servable] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._snapshot = _Snapshot({}, {}, {})

    def apply(self, entries: Iterable[ModelEntry]) -> Applied:
        """Serve exactly these models from now on; loads happen in this thread, one after another."""
        applied = Applied()
        with self._applying:
            wanted: dict[tuple[str, int], Path] = {}
            entries = tuple(entries)
            for entry in entries:
                found = find_versions(entry)
                applied.notes.extend(found.notes)
                wanted.update({(entry.name, version): path for version, path in found.paths.items()})
            for (name, version), path in wanted.items():
                current = self._available.get((name, version))
                if current is None or current.path != path:
                    self._load_version(name, version, path, applied)
            for name, version in set(self._available) - set(wanted):
                self._unload_version(name, version)
            self._labels = {entry.name: self._usable_labels(entry, applied) for entry in entries}
            self._publish()
        return applied

    def servable(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The version to answer with: the one named, the one labelled, or else the highest."""
        if not name:
            raise errors.model_spec_without_name()
        snapshot = self._snapshot
        if label is not None:
            version = snapshot.labels.get(name, {}).get(label)
            if version is None:
                raise errors.unknown_label(label)
        by_version = snapshot.versions.get(name, {})
        found = snapshot.latest.get(name) if version is None else by_version.get(version)
        if found is None:
            raise errors.servable_not_found(name, version)
        return found

    def status(self, name: str, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """The state of one version, or of all versions that this model has had, newest last."""
        if label is not None:
            version = self._snapshot.labels.get(name, {}).get(label)
            if version is None:
                raise errors.unknown_label(label)
        states = dict(self._states.get(name, {}))
        if version is None:
            if not states:
                raise errors.no_versions(name)
            return [states[number] for number in sorted(states)]
        if version not in states:
            raise errors.no_such_version(name, version)
        return [states[version]]

    def knows(self, name: str) -> bool:
        """Whether any version of this model was ever configured; bounds what metrics keep."""
        return name in self._states

    def _load_version(self, name: str, version: int, path: Path, applied: Applied) -> None:
        self._set(VersionStatus(name, version, State.LOADING))
        try:
            model = self._load(path)
        except StatusError as error:
            self._available.pop((name, version), None)
            status = VersionStatus(name, version, State.END, error.code, error.message)
            applied.failed.append(status)
            self._set(status)
        else:
            self._available[name, version] = Servable(name, version, model, path)
            self._set(VersionStatus(name, version, State.AVAILABLE))
        self._publish()

    def _unload_version(self, name: str, version: int) -> None:
        self._set(VersionStatus(name, version, State.UNLOADING))
        del self._available[name, version]
        self._publish()
        self._set(VersionStatus(name, version, State.END))

    def _usable_labels(self, entry: ModelEntry, applied: Applied) -> dict[str, int]:
        usable = {}
        for label, version in entry.labels:
            if (entry.name, version) in self._available:
                usable[label] = version
            else:
                applied.unavailable_labels.append(
                    f"Request to assign label to version {version} of model {entry.name}, "
                    "which is not currently available for inference"
                )
        return usable

    def _set(self, status: VersionStatus) -> None:
        self._states.setdefault(status.model, {})[status.version] = status

    def _publish(self) -> None:
        versions: dict[str, dict[int, Servable]] = {}
        for (name, version), servable in sorted(self._available.items(), key=lambda item: item[0]):
            versions.setdefault(name, {})[version] = servable
        latest = {name: by_version[max(by_version)] for name, by_version in versions.items()}
        self._snapshot = _Snapshot(versions, latest, self._labels)
