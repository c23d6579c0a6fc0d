"""A model that is laid out for a cluster, and a report that recommends it: what `serving deploy` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.cli import Parser, add_common
from contract.config import Model
from contract.endpoints import Configuration
from contract.files import write_json, write_text
from contract.recommendation import Recommendation, Recommended
from contract.slo import Slo
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from serving.deploying.case import Case
from serving.deploying.command import add_arguments, deploy
from serving.deploying.wanted import Wanted
from serving.layout.repository import lay_out, plan, triton_config
from serving.layout.triton_configuration import triton_configuration
from tests.builders import LOGITS, MACHINE, config, model, workspace, write_artifacts

TARGET, VERSION = "26.08", "2.72.0"  # a release of Triton, and what its server calls itself
L4 = "gpu:NVIDIA L4"
LOAD_IMAGE = "registry.example:5000/loadproof/loadtest:0.1.0"
UNMEASURED = ["--unmeasured", "--load-image", LOAD_IMAGE]
UNBATCHED = Configuration(max_batch_size=None, max_queue_delay_us=None, instances=1, threads=1)
FIXED = TensorSpec(name="pixels", dtype="float32", dims=["batch", 4])  # what TF Serving may join
MODELS = """schema_version = 1
target = "26.08"

[models.words]
framework = "pytorch"
source = "zoo.somewhere:build"
formats = ["torchscript", "savedmodel", "onnx"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""
# What differs from the default, Triton's native ONNX backend on a GPU, by what it is.
ON_CPU: dict[str, Any] = {"device": "cpu"}
ON_TFSERVING: dict[str, Any] = {
    "variant": "words__savedmodel__tfserving__grpc",
    "format": "savedmodel",
    "engine": "tfserving",
    "engine_version": "2.20.0",
    "device": "cpu",
    "configuration": UNBATCHED,
}
STAND_IN: dict[str, Any] = {
    "engine_version": "2.51.0",
    "backend_kind": "python",
    "stand_in_for": f"NVIDIA's native onnxruntime backend of release {TARGET}",
    "device": "cpu",
}


def recommended(**changes: Any) -> Recommended:
    """A winner that may be deployed as it is."""
    fields: dict[str, Any] = {
        "variant": "words__onnx__triton__grpc",
        "format": "onnx",
        "engine": "triton",
        "engine_kind": "real",
        "engine_version": VERSION,
        "backend_kind": "native",
        "stand_in_for": None,
        "device": L4,
        "protocol": "grpc",
        "configuration": Configuration(max_batch_size=32, max_queue_delay_us=0, instances=1, threads=1),
        "artifact_sha256": "a" * 64,
        "objectives": Slo().figures(),
        "max_rps": 96.0,
        "limited_by": "server",
        "p99_ms": 41.2,
        "queue_us": 830.4,
        "server_cores": 1.31,
        "server_mib": 712.3,
        "load_to_ready_s": 3.2,
    }
    return Recommended(**(fields | changes))


def recommendation(item: Recommended | None = None, **changes: Any) -> Recommendation:
    """A report's recommendation of one model."""
    fields: dict[str, Any] = {
        "schema_version": 2,
        "report": "20260131-120000",
        "target": TARGET,
        "machine": MACHINE,
        "resident": ["words__onnx on triton"],
        "warnings": [],
        "models": {"words": item or recommended()},
    }
    return Recommendation(**(fields | changes))


def case(item: Recommended | None = None, wanted: Wanted | None = None, **changes: Any) -> Case:
    """The two together, of a model with the default objectives; ``changes`` are those of the recommendation."""
    whole = recommendation(item, **changes)
    return Case("words", whole.models["words"], whole, wanted or Wanted(TARGET), Slo())


@dataclass(frozen=True)
class Site:
    """A workspace in which the model lies ready, and the command over it."""

    workspace: Workspace
    shas: dict[str, str]  # format -> SHA-256 of its artifact
    configurations: dict[str, Configuration]  # format -> how it is laid out for Triton

    @property
    def root(self) -> Path:
        return self.workspace.root

    def reports(self, *models: str, whole: dict[str, Any] | None = None, **changes: Any) -> None:
        """Write reports/latest/recommendation.json; ``changes`` are those of the model's entry."""
        form = changes.get("format", "onnx")
        as_laid_out = {"artifact_sha256": self.shas[form], "configuration": self.configurations[form]}
        item = recommended(**(as_laid_out | changes))
        found = recommendation(**{"models": dict.fromkeys(models or ("words",), item), **(whole or {})})
        write_json(self.workspace.reports / "latest" / "recommendation.json", found)

    def deploy(self, *words: str) -> int:
        """Run the command as `python -m serving deploy` does."""
        parser = Parser(prog="python -m serving deploy")
        add_common(parser)
        add_arguments(parser)
        where = ["--workspace", str(self.root), "--config", str(self.root / "models.toml")]
        return deploy(parser.parse_args([*where, *words]))

    def overlay(self, *words: str) -> Path:
        """Deploy into the folder that nobody named, and give it."""
        assert self.deploy(*words) == 0
        return self.root / "k8s" / "rendered" / "words"


def site(folder: Path, release: str | None = TARGET, **changes: Any) -> Site:
    """Lay the model out for a release (None: for the local server) in a workspace of its own, with its models.toml."""
    place = workspace(folder / "work")
    manifest = write_artifacts(place, "words", ("torchscript", "savedmodel", "onnx"))
    described: Model = model(formats=["torchscript", "savedmodel", "onnx"], outputs=[LOGITS], **changes)
    served = plan(config({"words": described}), "default", place)[0]
    lay_out(served, place, release)
    write_text(place.root / "models.toml", MODELS)
    return Site(
        place,
        {form: record.sha256 or "" for form, record in manifest.formats.items()},
        {item.format: triton_configuration(triton_config(item), item.format) for item in served},
    )
