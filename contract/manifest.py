"""artifacts/<model>/<version>/manifest.json: what export made and how well it agrees. Existing means complete."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.compare import Parity
from contract.errors import UsageError
from contract.files import read_model
from contract.tensors import TensorSpec

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"


class Entry(BaseModel):
    """A part of a border file: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FormatRecord(Entry):
    """One exported format of one model."""

    status: str = Field(description="`ok`, `failed: why` or `unsupported: why`")
    path: str | None = Field(description="file or directory, relative to the manifest")
    sha256: str | None = Field(description="of the file, or of a directory's sorted names and contents")
    bytes: int | None = Field(description="size on disk")
    route: str = Field(description="how it was made, e.g. `torch.onnx.export(dynamo=True), opset 18`")
    parity: Parity | None = Field(description="against the trained model's own answers; null when there is no artifact")
    versions: dict[str, str] = Field(description="of the packages that wrote and verified it")
    seconds: float = Field(description="export and verification together")
    reproduce: list[str] = Field(description="the commands that repeat the export and its verification")

    @property
    def ok(self) -> bool:
        return self.status == "ok"


class Manifest(Entry):
    """All formats of one version of a model."""

    schema_version: Literal[1]
    model: str = Field(description="name in models.toml")
    version: int = Field(description="counts up; a version is never rewritten")
    created: str = Field(description="UTC, ISO 8601")
    fingerprint: str = Field(description="SHA-256 over everything the export depends on; the same means up to date")
    framework: str = Field(description="which framework trained it")
    inputs: list[TensorSpec] = Field(description="tensors of the signature")
    outputs: list[TensorSpec] = Field(description="tensors of the signature")
    atol: float = Field(description="absolute tolerance of parity")
    rtol: float = Field(description="relative tolerance of parity")
    golden_sha256: str = Field(description="of golden.npz beside this file")
    formats: dict[str, FormatRecord] = Field(description="by format")
    accuracy: dict[str, float | int | str] = Field(
        description="what the training stage states: accuracy, baseline, data hash"
    )


def versions_of(model_directory: Path) -> list[int]:
    """The complete versions below ``artifacts/<model>``, oldest first."""
    if not model_directory.is_dir():
        return []
    return sorted(
        int(item.name) for item in model_directory.iterdir() if item.name.isdigit() and (item / MANIFEST).is_file()
    )


def read_newest(model_directory: Path) -> tuple[Path, Manifest]:
    """Return (directory, manifest) of the newest complete version of a model."""
    versions = versions_of(model_directory)
    if not versions:
        raise UsageError(f"{model_directory} holds no complete export; run 'make export' first")
    directory = model_directory / str(versions[-1])
    return directory, read_model(directory / MANIFEST, Manifest, "make export")
