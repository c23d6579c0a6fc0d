"""The export's pipeline with fakes for its child processes: complete or absent, proven or not ok, never rewritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.children import Ended
from contract.config import Batching, Model, Slo
from contract.errors import LoadproofError, ParityError
from contract.files import sha256_tree, write_bytes, write_json
from contract.golden import write_examples
from contract.manifest import GOLDEN, MANIFEST, FormatRecord, Manifest, read_newest, versions_of
from export import __main__ as command
from export import pipeline
from export.pipeline import Job, export_format, fingerprint, publish, staging, up_to_date, write_golden
from export.routes import FILES
from tests.builders import examples, model, parity

Step = Callable[[str, str | None, Path], Ended | None]


def good(step: str, form: str | None, folder: Path) -> Ended | None:
    """What the children of a successful export leave behind."""
    if step == "golden":
        write_examples(folder / GOLDEN, examples())
    elif step == "export":
        assert form is not None
        target = folder / FILES[form]
        if form == "savedmodel":
            write_bytes(target / "saved_model.pb", b"graph")
            write_bytes(target / "variables" / "variables.index", b"weights")
        else:
            write_bytes(target, f"bytes as {form}".encode())
        write_json(folder / f"{form}.route.json", {"route": f"route to {form}"})
    else:
        write_json(folder / f"{form}.parity.json", parity())
    return None


class Children:
    """Takes the place of `run_child`: reads the step off the command line and does what the test says."""

    def __init__(self, act: Step = good) -> None:
        self.act = act
        self.steps: list[tuple[str, str | None]] = []

    def __call__(self, words: Sequence[str], echo: bool = True) -> Ended:
        step, rest = words[words.index("export.step") + 1], list(words[words.index("export.step") + 2 :])
        form = rest[1] if rest[1] in FILES else None
        folder = Path(rest[rest.index("--directory") + 1])
        assert not (folder / MANIFEST).exists()  # the manifest comes last
        self.steps.append((step, form))
        return self.act(step, form, folder) or Ended(0, [])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"trained")
    return path


@pytest.fixture
def job(tmp_path: Path, weights: Path) -> Job:
    return Job("words", model(weights=weights), tmp_path / "models.toml", tmp_path / "artifacts" / "words")


def run(job: Job, monkeypatch: pytest.MonkeyPatch, act: Step = good) -> Manifest:
    """Export a job with children that do what the test says."""
    monkeypatch.setattr(pipeline, "run_child", Children(act))
    return export(job)


def export(job: Job) -> Manifest:
    """One model, all its steps in order."""
    with staging(job) as folder:
        write_golden(job, folder)
        formats: dict[str, FormatRecord] = {form: export_format(job, form, folder) for form in job.model.formats}
        return publish(job, folder, formats)


def changed(job: Job, **fields: Any) -> Job:
    return Job(job.name, job.model.model_copy(update=fields), job.config, job.directory)


def test_a_version_holds_golden_artifacts_and_manifest_and_nothing_else(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = run(job, monkeypatch)
    folder, read = read_newest(job.directory)
    assert read == manifest
    assert {item.name for item in folder.iterdir()} == {"model.pt", "model.onnx", GOLDEN, MANIFEST}
    assert [item.name for item in job.directory.iterdir()] == ["1"]
    for form, record in manifest.formats.items():
        assert record.status == "ok"
        assert record.sha256 == sha256_tree(folder / FILES[form])
        assert record.bytes == len(f"bytes as {form}")
        assert record.route == f"route to {form}"
        assert record.parity is not None


def test_every_format_is_exported_and_then_verified_in_a_process_of_its_own(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children()
    monkeypatch.setattr(pipeline, "run_child", children)
    export(job)
    assert children.steps == [
        ("golden", None),
        ("export", "torchscript"),
        ("verify", "torchscript"),
        ("export", "onnx"),
        ("verify", "onnx"),
    ]


def test_a_folder_counts_by_its_files_together(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    source = job.directory.parent / "model.keras"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"k")
    keras = Job(
        "words", model(framework="keras", source=str(source), formats=["savedmodel"]), job.config, job.directory
    )
    record = run(keras, monkeypatch).formats["savedmodel"]
    assert (record.path, record.bytes) == ("model.savedmodel", len(b"graph") + len(b"weights"))


@pytest.mark.parametrize("moment", ["golden", "export", "verify", "publish"])
def test_whatever_ends_an_export_early_leaves_no_version_and_no_staging(
    job: Job, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        good(step, form, folder)
        if step == moment:
            raise KeyboardInterrupt
        return None

    if moment == "publish":
        monkeypatch.setattr(pipeline, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(job, monkeypatch, act)
    assert list(job.directory.iterdir()) == []
    assert versions_of(job.directory) == []


def test_a_model_that_does_not_answer_its_examples_is_an_error_with_its_reason(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended:
        return Ended(2, ["some line", "error: the model has no output 'logits'; it has scores"])

    with pytest.raises(LoadproofError, match="words: the trained model did not answer its examples: the model has no"):
        run(job, monkeypatch, act)
    assert list(job.directory.iterdir()) == []


def test_failed_parity_is_recorded_with_its_figures_and_the_format_is_not_ok(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "r0001: 'logits' is out of tolerance in 1 of 2 elements"

    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        good(step, form, folder)
        if (step, form) == ("verify", "torchscript"):
            write_json(folder / f"{form}.parity.json", parity(passed=False, max_abs=0.5))
            return Ended(5, ["{}", f"error: {why}"])
        return None

    manifest = run(job, monkeypatch, act)
    failed = manifest.formats["torchscript"]
    assert (failed.status, failed.ok) == (f"failed: {why}", False)
    assert failed.parity is not None
    assert (failed.parity.passed, failed.parity.max_abs) == (False, 0.5)
    assert manifest.formats["onnx"].ok
    assert command._outcome([manifest]) == 0


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (Ended(1, ["Traceback", "ValueError: unsupported operator"]), "failed: ValueError: unsupported operator"),
        (Ended(2, ["error: forward() takes x"]), "failed: forward() takes x"),
        (Ended(-9, []), "failed: killed by signal 9"),
        (Ended(-11, ["a last word"]), "failed: killed by signal 11"),
        (Ended(3, []), "failed: exit code 3"),
    ],
)
def test_an_export_that_fails_becomes_a_status_with_its_reason_and_no_artifact(
    job: Job, monkeypatch: pytest.MonkeyPatch, ended: Ended, status: str
) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        return ended if (step, form) == ("export", "onnx") else good(step, form, folder)

    manifest = run(job, monkeypatch, act)
    record = manifest.formats["onnx"]
    assert record.status.startswith(status)
    assert (record.ok, record.path, record.sha256, record.parity) == (False, None, None, None)
    assert manifest.formats["torchscript"].ok


def test_an_export_that_failed_is_not_verified(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    children = Children(lambda step, form, folder: Ended(1, ["no"]) if step == "export" else good(step, form, folder))
    monkeypatch.setattr(pipeline, "run_child", children)
    export(job)
    assert [step for step, _ in children.steps] == ["golden", "export", "export"]


def test_a_route_that_does_not_exist_is_recorded_and_nothing_is_run_for_it(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children()
    monkeypatch.setattr(pipeline, "run_child", children)
    manifest = export(changed(job, formats=["savedmodel", "onnx"]))
    record = manifest.formats["savedmodel"]
    assert record.status == "unsupported: there is no exporter from pytorch to savedmodel yet"
    assert not record.ok
    assert ("export", "savedmodel") not in children.steps
    assert manifest.formats["onnx"].ok


def test_a_model_without_any_format_that_may_be_served_is_a_parity_error_that_names_it(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = run(job, monkeypatch, lambda s, f, d: good(s, f, d) if s == "golden" else Ended(1, ["no"]))
    with pytest.raises(ParityError, match="no format of words may be served; the manifest says why"):
        command._outcome([manifest])


def test_the_commands_that_repeat_a_format_are_recorded_without_this_machines_paths(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run(job, monkeypatch).formats["onnx"]
    assert [line.split()[3] for line in record.reproduce] == ["golden", "export", "verify"]
    assert all(line.startswith("python -m export.step ") and "--directory DIR" in line for line in record.reproduce)


def test_an_export_is_up_to_date_until_something_changes(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    assert up_to_date(job) is None
    manifest = run(job, monkeypatch)
    assert up_to_date(job) == manifest


@pytest.mark.parametrize(
    "fields",
    [
        {"slo": Slo(rate=1, p99_ms=1, error_rate=0.5)},
        {"batching": Batching(max_batch_size=1, max_queue_delay_us=9, instances=4, threads=2)},
        {"engines": ["triton"]},
        {"group": "others"},
    ],
    ids=["slo", "batching", "engines", "group"],
)
def test_objectives_and_serving_do_not_export_again(
    job: Job, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    manifest = run(job, monkeypatch)
    assert up_to_date(changed(job, **fields)) == manifest


def test_moved_weights_do_not_export_again(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manifest = run(job, monkeypatch)
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(b"trained")
    assert up_to_date(changed(job, weights=moved)) == manifest


@pytest.mark.parametrize(
    "fields",
    [
        {"atol": 1e-9},
        {"rtol": 1e-9},
        {"formats": ["torchscript"]},
        {"source": "zoo.somewhere_else:build"},
        {"outputs": []},
    ],
    ids=["atol", "rtol", "formats", "source", "outputs"],
)
def test_what_the_artifacts_depend_on_exports_again(
    job: Job, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    run(job, monkeypatch)
    assert up_to_date(changed(job, **fields)) is None


def test_trained_again_means_exported_again(job: Job, monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    run(job, monkeypatch)
    weights.write_bytes(b"trained again")
    assert up_to_date(job) is None


def test_a_newer_package_exports_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    run(job, monkeypatch)
    monkeypatch.setattr(pipeline, "versions", lambda packages: dict.fromkeys(packages, "99"))
    assert up_to_date(job) is None


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"!")


def break_json(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


def other_schema(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 2}))


@pytest.mark.parametrize(
    ("file", "tamper"),
    [
        ("model.pt", append),
        ("model.onnx", append),
        ("model.onnx", Path.unlink),
        (GOLDEN, append),
        (GOLDEN, Path.unlink),
        (MANIFEST, break_json),
        (MANIFEST, other_schema),
    ],
    ids=["torchscript", "onnx", "onnx gone", "golden", "golden gone", "manifest cut off", "manifest of another schema"],
)
def test_whatever_is_tampered_with_exports_again(
    job: Job, monkeypatch: pytest.MonkeyPatch, file: str, tamper: Callable[[Path], None]
) -> None:
    run(job, monkeypatch)
    tamper(job.directory / "1" / file)
    assert up_to_date(job) is None


def test_a_version_is_never_rewritten(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(job, monkeypatch).version == 1
    before = sha256_tree(job.directory / "1")
    assert run(job, monkeypatch).version == 2
    assert sha256_tree(job.directory / "1") == before
    assert versions_of(job.directory) == [1, 2]


def test_the_next_version_counts_from_the_highest_number_that_is_taken(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("9", "10", "notes", "12"):
        (job.directory / name).mkdir(parents=True)
    assert run(job, monkeypatch).version == 13


def test_what_a_killed_export_left_behind_is_no_obstacle(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with staging(job) as folder:
        leftover = folder
    write_bytes(leftover / "model.pt", b"half of it")  # as after SIGKILL; in a container the pid comes back
    assert run(job, monkeypatch).version == 1
    assert [item.name for item in job.directory.iterdir()] == ["1"]
    assert (job.directory / "1" / "model.pt").read_bytes() == b"bytes as torchscript"


def test_weights_that_change_during_the_export_are_exported_again(
    job: Job, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        good(step, form, folder)
        if (step, form) == ("verify", "onnx"):
            weights.write_bytes(b"trained again, meanwhile")
        return None

    run(job, monkeypatch, act)
    assert up_to_date(job) is None


def test_what_training_stated_is_copied(job: Job, monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    card = {"accuracy": 0.91, "majority_baseline": 0.5, "seconds": 3.0, "data_sha256": "d" * 64}
    write_json(weights.with_name("card.json"), card)
    assert run(job, monkeypatch).accuracy == {"accuracy": 0.91, "majority_baseline": 0.5, "data_sha256": "d" * 64}


def test_the_fingerprint_is_the_same_for_the_same_facts(job: Job) -> None:
    twin: Model = job.model.model_copy(deep=True)
    assert fingerprint(job.model) == fingerprint(twin)


@pytest.mark.parametrize("code", [130, -2, -15])
def test_an_interrupted_step_is_no_result_and_leaves_no_version(
    job: Job, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        good(step, form, folder)
        return Ended(code, []) if (step, form) == ("verify", "onnx") else None

    with pytest.raises(LoadproofError, match="interrupted"):
        run(job, monkeypatch, act)
    assert list(job.directory.iterdir()) == []
