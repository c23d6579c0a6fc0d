"""A workspace whose models are exported and served for a file of tests, which goes through one life of its servers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from contract.endpoints import Endpoint, Endpoints
from contract.events import Event, read_events
from contract.files import read_model
from contract.workspace import Workspace
from tests.conftest import run_module
from tests.kept_exports import exports_kept
from tests.usual_ports import usual_ports_taken

S = TypeVar("S", bound="Stage")

# Tables of models.toml: one model for each engine, over every protocol that the engine has.
TORCH_ON_TRITON = """
[models.torch]
framework = "pytorch"
source = "zoo.sentiment_torch:build"
weights = "zoo/out/sentiment_torch/weights.safetensors"
examples = "zoo/out/sentiment_torch/examples.npz"
formats = ["onnx"]
engines = ["triton"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"], range = [0, 8000] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""
KERAS_ON_TFSERVING = """
[models.keras]
framework = "keras"
source = "zoo/out/sentiment_keras/model.keras"
examples = "zoo/out/sentiment_keras/examples.npz"
formats = ["savedmodel"]
engines = ["tfserving"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"], range = [0, 8000] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""


@dataclass(frozen=True)
class Stage:
    """The workspace, and the project's commands in it. A file of tests adds what it looks at."""

    root: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def flags(self) -> list[str]:
        return ["--config", str(self.root / "models.toml"), "--workspace", str(self.root)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``python -m words…`` with the workspace's flags."""
        return run_module(*words, *self.flags)

    def do(self, *words: str) -> None:
        """Run what must succeed."""
        ended = self.run(*words)
        assert ended.returncode == 0, ended.stderr

    def export(self) -> None:
        """The first export of this workspace. Where others have made the same before, it is found up to date."""
        with exports_kept(self.root):
            self.do("export")

    def endpoints(self) -> list[Endpoint]:
        return list(read_model(self.workspace.endpoints, Endpoints, "make serve").endpoints)

    def events(self) -> list[Event]:
        return read_events(self.workspace.events)


@contextmanager
def served_on(stage: S, copy_zoo: Callable[[Path], None], models: str, *flags: str) -> Iterator[S]:
    """Export and serve ``models``, the text of models.toml, from a copy of the zoo; the servers are stopped afterwards.

    ``flags`` are further ones of `serving up`.

    They listen at unusual ports, so that no other test's server can take theirs while they are down.
    """
    copy_zoo(stage.root)
    (stage.root / "models.toml").write_text(models)
    try:
        stage.export()
        with usual_ports_taken():
            stage.do("serving", "up", *flags)
        yield stage
    finally:
        stage.run("serving", "stop")
