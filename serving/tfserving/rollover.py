"""What the catalog decides without touching a model: which versions may go, which labels hold, when to try again.

"Aspired" is TensorFlow Serving's word for a version that the policy chooses among those on disk. Its rule is
availability preserving: a version that is not aspired any more goes on answering until an aspired one can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from serving.tfserving.storage import Content, ModelEntry

Key = tuple[str, int]  # model and version


@dataclass(frozen=True)
class LoadRetries:
    """How often a failed load is tried again, and how long after the last time."""

    count: int = 5
    interval_seconds: float = 60.0


@dataclass(frozen=True)
class _Failure:
    path: Path
    content: Content  # what was there when it did not load
    seen: Content  # what was there at the latest look
    attempts: int
    due: float


class Failures:
    """The versions that did not load. Not for use by several threads, but for `add` and `forget`."""

    def __init__(self, retries: LoadRetries, clock: Callable[[], float]) -> None:
        self._retries = retries
        self._clock = clock
        self._failures: dict[Key, _Failure] = {}

    def add(self, key: Key, path: Path, content: Content) -> None:
        """Note an attempt that failed on what was in ``path`` before it began."""
        before = self._failures.get(key)
        again = before is not None and (before.path, before.content) == (path, content)
        attempts = before.attempts + 1 if before is not None and again else 1
        due = self._clock() + self._retries.interval_seconds
        self._failures[key] = _Failure(path, content, content, attempts, due)

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget all but these."""
        wanted = set(keys)
        self._failures = {key: failure for key, failure in self._failures.items() if key in wanted}

    def is_due(self, key: Key, path: Path, content: Content) -> bool:
        """Whether to load a version, given where it is and what is in it now.

        A directory that is still being copied changes from look to look; so one that has changed is tried when
        it has then stayed the same.
        """
        failure = self._failures.get(key)
        if failure is None or failure.path != path:
            return True
        self._failures[key] = replace(failure, seen=content)
        if content != failure.content and content == failure.seen:
            return True
        return failure.attempts <= self._retries.count and self._clock() >= failure.due


def superfluous(aspired: Collection[int], ready: Collection[int]) -> list[int]:
    """The versions to unload, lowest first, of a model whose ``ready`` versions can answer.

    While no aspired version is ready, the highest of the others is kept.
    """
    others = sorted(set(ready) - set(aspired))
    if not aspired or set(aspired) & set(ready):
        return others
    return others[:-1]


def usable_labels(
    entry: ModelEntry, ready: Collection[int], present: Mapping[str, int], in_advance: bool
) -> tuple[dict[str, int], list[str]]:
    """The labels of a model, and a sentence for each that cannot be given.

    A label needs a version that is ready. With ``in_advance`` a label that is not in use yet needs none. A
    label that cannot be moved stays where it is.
    """
    usable: dict[str, int] = {}
    refused = []
    for label, version in entry.labels:
        free = present.get(label, version) == version
        if version in ready or (in_advance and free):
            usable[label] = version
            continue
        refused.append(
            f"Request to assign label to version {version} of model {entry.name}, "
            "which is not currently available for inference"
        )
        if present.get(label) in ready:
            usable[label] = present[label]
    return usable, refused
