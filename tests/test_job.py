"""What makes an export out of date: everything that its artifacts depend on, and a limit that was too tight."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from contract.files import read_model, write_json
from contract.manifest import MANIFEST, Manifest
from export.job import Job, damaged, fingerprint, up_to_date
from tests.builders import format_record, model, workspace, write_artifacts


@pytest.fixture
def job(tmp_path: Path) -> Job:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"trained")
    return Job("words", model(weights=weights), tmp_path / "models.toml", tmp_path / "artifacts" / "words")


def exported(job: Job, tmp_path: Path, status: str = "ok") -> None:
    """A complete version whose fingerprint is the job's."""
    manifest = write_artifacts(workspace(tmp_path))
    formats = manifest.formats | ({"savedmodel": format_record(status)} if status != "ok" else {})
    write_json(
        job.directory / "1" / MANIFEST,
        manifest.model_copy(update={"fingerprint": fingerprint(job.model), "formats": formats}),
    )


@pytest.mark.parametrize(
    ("status", "again"),
    [
        ("ok", False),
        ("failed: wrong values: r0001: far off", False),
        ("unsupported: tf2onnx: no such operator", False),
        ("failed: killed by signal 9 (SIGKILL)", True),
    ],
)
def test_what_the_machine_did_is_tried_again_and_what_the_model_did_is_not(
    job: Job, tmp_path: Path, status: str, again: bool
) -> None:
    exported(job, tmp_path, status)
    assert (up_to_date(job) is None) == again


def test_a_step_that_overran_its_limit_is_tried_again_with_a_longer_one(job: Job, tmp_path: Path) -> None:
    exported(job, tmp_path, "failed: took longer than its limit of 600 s")
    patient = Job(job.name, job.model.model_copy(update={"time_limit_s": 3600.0}), job.config, job.directory)
    assert up_to_date(patient) is None


def test_a_factory_counts_with_the_modules_beside_it_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "factory_of_job.py").write_text("from layers_of_job import Layer\ndef build(): return Layer()\n")
    (tmp_path / "layers_of_job.py").write_text("class Layer: width = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    described = model(source="factory_of_job:build")
    before = fingerprint(described)
    (tmp_path / "layers_of_job.py").write_text("class Layer: width = 2\n")
    assert fingerprint(described) != before


def test_asking_whether_an_export_is_up_to_date_runs_none_of_the_persons_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent process holds no framework; a package's __init__ may import one, or do anything else."""
    package = tmp_path / "package_of_job"
    package.mkdir()
    (package / "__init__.py").write_text("import sys; sys.modules['ran_of_job'] = sys\n")
    (package / "factory.py").write_text("def build(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    fingerprint(model(source="package_of_job.factory:build"))
    assert sys.modules.pop("ran_of_job", None) is None


def test_a_factory_that_is_not_there_is_left_to_the_step_that_says_so(job: Job) -> None:
    assert fingerprint(job.model) == fingerprint(job.model)


@pytest.mark.parametrize("file", ["model.pt", "model.onnx", "golden.npz"])
def test_a_file_that_was_changed_is_named(job: Job, tmp_path: Path, file: str) -> None:
    exported(job, tmp_path)
    manifest = read_model(job.directory / "1" / MANIFEST, Manifest, "make export")
    assert damaged(job.directory / "1", manifest) == []
    (job.directory / "1" / file).write_bytes(b"other")
    assert damaged(job.directory / "1", manifest) == [file]


def test_an_onnx_file_counts_with_the_external_data_that_it_names(tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    source.write_bytes(b"graph, its tensors in weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "notes.txt").write_bytes(b"1")
    described = model(framework="onnx", source=str(source))
    before = fingerprint(described)
    (tmp_path / "notes.txt").write_bytes(b"2")
    assert fingerprint(described) == before
    (tmp_path / "weights.bin").write_bytes(b"2")
    assert fingerprint(described) != before


@pytest.mark.parametrize("settings", [{"triton": {"versions": 2}}, {"tfserving": {"versions": 2}}])
def test_how_a_model_is_served_exports_nothing_again(settings: dict[str, Any]) -> None:
    described = model(source="package_of_job.factory:build")
    served = type(described).model_validate(described.model_dump() | settings)
    assert fingerprint(served) == fingerprint(described)
