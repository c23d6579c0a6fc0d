"""The states that a version goes through, in TensorFlow Serving's words and numbers."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from serving.tfserving.errors import Code


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
class Applied:
    """What came of a change: failed loads, labels that point at nothing, things worth saying."""

    failed: list[VersionStatus] = field(default_factory=list)
    unavailable_labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
