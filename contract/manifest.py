"""artifacts/<model>/<version>/manifest.json: what export made and how well it agrees. Existing means complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.compare import Parity, Tolerance
from contract.errors import UsageError
from contract.files import read_model
from contract.tensors import TensorSpec

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
EDGES = "edges.npz"
VALIDATION = "validation.npz"
SUITE = "suite.json"
LOGS = "logs"

# A manifest may come from elsewhere: what it names lies beside it and nowhere else.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Entry(BaseModel):
    """A part of a border file: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Decisions(Entry):
    """The classes that an artifact gives for the labelled inputs, beside the trained model's own."""

    rows: int = Field(description="labelled rows")
    agreement: float = Field(description="share of rows that get the class that the trained model gives")
    accuracy_trained: float = Field(description="share of right classes, trained model")
    accuracy: float = Field(description="share of right classes, artifact")


class Check(Entry):
    """One property that an artifact was tested for."""

    name: str = Field(
        description="`signature`, `golden`, `batch invariance`, `padding invariance`, `extreme values`, `decisions`"
    )
    passed: bool = Field(description="held or not")
    detail: str = Field(description="the figures, or what is wrong")


class Attempt(Entry):
    """One route that was tried and did not lead to the format."""

    route: str = Field(description="name of the route")
    status: str = Field(description="`failed: why` or `unsupported: why`")


class FormatRecord(Entry):
    """One exported format of one model."""

    status: str = Field(description="`ok`, `failed: why` or `unsupported: why`")
    path: FileName | None = Field(description="file or directory beside the manifest")
    sha256: str | None = Field(description="of the file, or of a directory's sorted names and contents")
    bytes: int | None = Field(description="size on disk")
    route: str = Field(description="how it was made, e.g. `torch.onnx.export(dynamo=True), opset 18`")
    parity: Parity | None = Field(description="against the trained model's own answers; null when there is no artifact")
    checks: list[Check] = Field([], description="what the artifact was tested for, in that order")
    diagnosis: str | None = Field(
        None,
        description="the kind of defect, where a check failed: `frozen dimension`, `frozen control flow`, "
        "`swapped outputs`, `wrong values`, `imprecise arithmetic`, `wrong dtype`, `wrong shape`, `not a number`, "
        "`wrong signature`, `unreadable file`, `refused request`",
    )
    decisions: Decisions | None = Field(None, description="on labelled inputs; null where the model has none")
    facts: dict[str, int | str] = Field({}, description="of the file: opset, IR version, kind of graph")
    attempts: list[Attempt] = Field([], description="routes that were tried before, or in vain")
    atol: float = Field(description="absolute tolerance of its parity")
    rtol: float = Field(description="relative tolerance of its parity")
    versions: dict[str, str] = Field(description="of the packages that wrote and verified it")
    seconds: float = Field(description="export and verification together")
    export_seconds: float = Field(0.0, description="of that, the export")
    peak_mib: int = Field(0, description="largest resident memory of its processes, MiB")
    reproduce: list[str] = Field(description="the commands that repeat the export and its verification")

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def tolerance(self) -> Tolerance:
        """How close an answer must be wherever this artifact is served (one answer has no share of classes)."""
        return Tolerance(self.atol, self.rtol)


class Manifest(Entry):
    """All formats of one version of a model."""

    schema_version: Literal[2]
    model: str = Field(description="name in models.toml")
    version: int = Field(description="counts up; a version is never rewritten")
    created: str = Field(description="UTC, ISO 8601")
    fingerprint: str = Field(description="SHA-256 over everything the export depends on; the same means up to date")
    framework: str = Field(description="which framework trained it")
    source: str = Field(description="kind of source: `pytorch`, `torchscript`, `keras`, `savedmodel`, `onnx`, …")
    inputs: list[TensorSpec] = Field(description="tensors of the signature")
    outputs: list[TensorSpec] = Field(description="tensors of the signature")
    golden_sha256: str = Field(description="of golden.npz beside this file")
    files_sha256: dict[FileName, str] = Field(
        description="of what else verifies an artifact: suite.json (limits), edges.npz (extreme and padded requests), "
        "validation.npz (labelled inputs)"
    )
    notes: list[str] = Field(description="what was left out, what the proof can hardly tell, and why")
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
