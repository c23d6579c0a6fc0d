"""Where the border files live: one place that knows the folder names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The tree below which every stage reads and writes (``--workspace``, by default the checkout)."""

    root: Path

    @property
    def zoo(self) -> Path:
        return self.root / "zoo" / "out"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def triton_repository(self) -> Path:
        return self.root / "model_repository" / "triton"

    @property
    def tfserving_repository(self) -> Path:
        return self.root / "model_repository" / "tfserving"

    @property
    def live(self) -> Path:
        return self.root / "live"

    @property
    def endpoints(self) -> Path:
        return self.live / "endpoints.json"

    @property
    def servers(self) -> Path:
        return self.live / "servers.json"

    @property
    def events(self) -> Path:
        return self.live / "events.jsonl"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def reports(self) -> Path:
        return self.root / "reports"
