"""Which of a model's versions an engine serves: the one decision behind exports, trees, configurations and rolls.

Triton's `version_policy` and TF Serving's `model_version_policy` are two messages with the same fields, so that a
policy is written into either alike. Lists of versions rise: the newest is the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from contract.versions import Versions


class VersionPolicy(Protocol):
    """What to serve of what there is."""

    @property
    def exact(self) -> bool:
        """Whether a roll serves just what a start would, or goes on with what is served for those who name it."""

    def candidates(self, exported: Sequence[int]) -> list[int]:
        """The versions that may be served; the last is the one that endpoints name."""

    def missing(self, exported: Sequence[int]) -> list[int]:
        """Versions that are to be served, and that nobody has exported."""

    def kept(self, versions: Sequence[int]) -> list[int]:
        """Which of the versions that can be served are served."""

    def write(self, message: Any) -> None:
        """Say it in an engine's own configuration, whatever that said before."""


@dataclass(frozen=True)
class Newest:
    """The newest ``count``."""

    count: int
    exact = False

    def candidates(self, exported: Sequence[int]) -> list[int]:
        return list(exported if self.count > 1 else exported[-1:])  # of a single one, no older is looked at

    def missing(self, exported: Sequence[int]) -> list[int]:
        return []

    def kept(self, versions: Sequence[int]) -> list[int]:
        return list(versions[-self.count :])

    def write(self, message: Any) -> None:
        message.latest.num_versions = self.count


@dataclass(frozen=True)
class Every:
    """Whatever is proven and has the newest's signature."""

    exact = True

    def candidates(self, exported: Sequence[int]) -> list[int]:
        return list(exported)

    def missing(self, exported: Sequence[int]) -> list[int]:
        return []

    def kept(self, versions: Sequence[int]) -> list[int]:
        return list(versions)

    def write(self, message: Any) -> None:
        message.all.SetInParent()


@dataclass(frozen=True)
class Listed:
    """These, all of them."""

    versions: tuple[int, ...]
    exact = True

    def candidates(self, exported: Sequence[int]) -> list[int]:
        return self.kept(exported)

    def missing(self, exported: Sequence[int]) -> list[int]:
        return [version for version in self.versions if version not in exported]

    def kept(self, versions: Sequence[int]) -> list[int]:
        return [version for version in versions if version in self.versions]

    def write(self, message: Any) -> None:
        message.specific.versions[:] = self.versions  # instead of a list that is there


def version_policy(versions: Versions) -> VersionPolicy:
    """The policy that `versions` of models.toml asks for."""
    if versions == "all":
        return Every()
    return Newest(versions) if isinstance(versions, int) else Listed(tuple(versions))
