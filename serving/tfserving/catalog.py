"""The models, their versions and the state of each: what can answer now, and what became of the rest.

`apply` brings the catalog to a configuration, `poll` looks at the disk again for the present one, `retry`
tries again what did not load. A new version is loaded while the old one answers; the old one goes when the
new one is there, and its Session closes after the last request that uses it. A version that fails to load is
in state END with its error, the version before it goes on answering, and it is tried again: after a while,
and when the content of its directory has changed. The content of a version that is loaded is never read again.

Requests never wait for a load: they read one immutable snapshot, replaced whole.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from serving.tfserving import errors, rollover
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.model import Runnable
from serving.tfserving.rollover import Failures, LoadRetries
from serving.tfserving.states import Applied, State, VersionStatus
from serving.tfserving.storage import ModelEntry, content_of, find_versions


@dataclass(frozen=True)
class Servable:
    """An available version; whoever holds it keeps it loaded."""

    name: str
    version: int
    model: Runnable
    path: Path


class Load(Protocol):
    """Turns the version directory of a model into a model, or raises StatusError."""

    def __call__(self, path: Path, /) -> Runnable: ...


@dataclass(frozen=True)
class _Snapshot:
    versions: Mapping[str, Mapping[int, Servable]]
    latest: Mapping[str, Servable]
    labels: Mapping[str, Mapping[str, int]]


class Catalog:
    """All models of a server.

    ``load_threads`` 0 loads one version after the other; ``labels_in_advance`` lets a new label point at a
    version that is not available yet.
    """

    def __init__(
        self,
        load: Load,
        retries: LoadRetries | None = None,
        load_threads: int = 0,
        labels_in_advance: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._load_threads = load_threads
        self._labels_in_advance = labels_in_advance
        self._changing = threading.Lock()  # polling and reloading take turns
        self._entries: tuple[ModelEntry, ...] = ()
        self._aspired: dict[str, dict[int, Path]] = {}
        self._failures = Failures(retries or LoadRetries(), clock)
        # the four below change under this lock, for moments only; reentrant, because the last reference to a
        # Servable may go while its own thread holds it
        self._board = threading.RLock()
        self._states: dict[str, dict[int, VersionStatus]] = {}
        self._available: dict[str, dict[int, Servable]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._snapshot = _Snapshot({}, {}, {})

    def apply(self, entries: Iterable[ModelEntry], insist: bool = True) -> Applied:
        """Serve exactly these models from now on; returns when every load has been tried once.

        ``insist`` tries those that failed before even when they are not due.
        """
        with self._changing:
            self._entries = tuple(entries)
            return self._look(insist)

    def poll(self) -> Applied:
        """Look at the disk again: load what has come, unload what is superfluous, retry what is due."""
        with self._changing:
            return self._look(insist=False)

    def retry(self) -> Applied:
        """Try again what is due, without looking for other versions."""
        with self._changing:
            return self._bring(Applied(), insist=False)

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

    def status(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """The state of one version, or of all versions that this model has had, newest first."""
        states = dict(self._states.get(name, {}))
        if version is None:
            if not states:
                raise errors.no_versions(name)
            return [states[number] for number in sorted(states, reverse=True)]
        if version not in states:
            raise errors.no_such_version(name, version)
        return [states[version]]

    def knows(self, name: str) -> bool:
        """Whether any version of this model was ever configured; bounds what metrics keep."""
        return name in self._states

    def _look(self, insist: bool) -> Applied:
        applied = Applied()
        aspired = {}
        for entry in self._entries:
            found = find_versions(entry)
            applied.notes.extend(found.notes)
            # a base path that cannot be read may be away for a moment only: its versions stay
            aspired[entry.name] = found.paths if found.readable else self._aspired.get(entry.name, {})
        self._aspired = aspired
        return self._bring(applied, insist)

    def _bring(self, applied: Applied, insist: bool) -> Applied:
        self._failures.keep((name, version) for name, paths in self._aspired.items() for version in paths)
        for name in tuple(self._available):
            self._unload_superfluous(name)
        due = [
            (name, version, path)
            for name, paths in self._aspired.items()
            for version, path in sorted(paths.items(), reverse=True)
            if self._to_load(name, version, path, insist)
        ]
        for name, version, _ in due:
            self._show(VersionStatus(name, version, State.START))
        self._load_all(due, applied)
        self._relabel(applied)
        return applied

    def _load_all(self, due: list[tuple[str, int, Path]], applied: Applied) -> None:
        if not self._load_threads or not due:
            for name, version, path in due:
                self._load_version(name, version, path, applied)
            return
        pool = ThreadPoolExecutor(self._load_threads, thread_name_prefix="load")
        try:
            list(pool.map(lambda each: self._load_version(each[0], each[1], each[2], applied), due))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a signal does not wait for a load

    def _to_load(self, name: str, version: int, path: Path, insist: bool) -> bool:
        current = self._available.get(name, {}).get(version)
        if current is not None and current.path == path:
            return False
        return self._failures.is_due((name, version), path, content_of(path)) or insist

    def _load_version(self, name: str, version: int, path: Path, applied: Applied) -> None:
        content = content_of(path)  # before the load: what is copied meanwhile counts as a change
        self._show(VersionStatus(name, version, State.LOADING))
        try:
            model = self._load(path)
        except Exception as error:  # whatever it is, it must not take other models down
            reason = error if isinstance(error, StatusError) else StatusError(Code.UNKNOWN, repr(error))
            failed = VersionStatus(name, version, State.END, reason.code, reason.message)
            del reason  # it holds this frame, and so what was half loaded
            self._failures.add((name, version), path, content)
            applied.failed.append(failed)
            self._show(failed)
            return
        self._failures.forget((name, version))
        with self._board:
            self._available.setdefault(name, {})[version] = Servable(name, version, model, path)
            self._set(VersionStatus(name, version, State.AVAILABLE))
            self._relabel(Applied())  # labels move before the version that they leave goes
        applied.notes.append(f"Successfully loaded servable version {{name: {name} version: {version}}}")
        self._unload_superfluous(name)

    def _unload_superfluous(self, name: str) -> None:
        with self._board:
            ready = self._available.get(name, {})
            going = [ready.pop(version) for version in rollover.superfluous(self._aspired.get(name, {}), ready)]
            for servable in going:
                unloading = VersionStatus(name, servable.version, State.UNLOADING)
                self._set(unloading)
                weakref.finalize(servable, self._unloaded, unloading).atexit = False
            self._publish()
        if going:
            del servable
            going.clear()
            gc.collect()  # a Graph is full of reference cycles, and so is a request that has failed

    def _unloaded(self, unloading: VersionStatus) -> None:
        """The last request has let go; unless the version has been loaded again meanwhile, this is its end."""
        with self._board:
            if self._states[unloading.model][unloading.version] is unloading:
                self._set(replace(unloading, state=State.END))

    def _relabel(self, applied: Applied) -> None:
        with self._board:
            labels = {}
            for entry in self._entries:
                ready, present = self._available.get(entry.name, {}), self._labels.get(entry.name, {})
                labels[entry.name], refused = rollover.usable_labels(entry, ready, present, self._labels_in_advance)
                applied.unavailable_labels.extend(refused)
            self._labels = labels
            self._publish()

    def _show(self, status: VersionStatus) -> None:
        """Note the state of a version, unless it answers: its base path has moved, and it is being replaced."""
        with self._board:
            if status.version not in self._available.get(status.model, {}):
                self._set(status)

    def _set(self, status: VersionStatus) -> None:
        self._states.setdefault(status.model, {})[status.version] = status

    def _publish(self) -> None:
        versions = {name: dict(by_version) for name, by_version in self._available.items() if by_version}
        latest = {name: by_version[max(by_version)] for name, by_version in versions.items()}
        self._snapshot = _Snapshot(versions, latest, self._labels)
