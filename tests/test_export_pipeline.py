"""The export's pipeline with fakes for its child processes: complete or absent, proven or not ok, never rewritten."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract.batching import Batching
from contract.children import Ended
from contract.config import Model
from contract.errors import LoadproofError, ParityError
from contract.files import sha256_tree, write_bytes, write_json
from contract.golden import write_examples
from contract.manifest import GOLDEN, LOGS, MANIFEST, SUITE, FormatRecord, Manifest, read_newest, versions_of
from contract.slo import Slo
from export import __main__ as command
from export import job as jobs
from export import pipeline
from export.job import Job, fingerprint, up_to_date
from export.pipeline import export_format, publish, write_golden
from export.refused import UNSUPPORTED
from export.routes import FILES, order
from export.staging import staging
from export.suite import Limits, SuiteFile
from export.verification import Proof
from tests.builders import LOGITS, TOKENS, examples, model, parity

Step = Callable[[str, str | None, Path], Ended | None]


def good(step: str, form: str | None, folder: Path) -> Ended | None:
    """What the children of a successful export leave behind."""
    if step == "golden":
        write_examples(folder / GOLDEN, examples())
        write_json(folder / SUITE, SUITE_FILE)
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
        write_json(folder / f"{form}.proof.json", proof())
    return None


SUITE_FILE = SuiteFile(
    schema_version=1,
    inputs=[TOKENS],
    outputs=[LOGITS],
    batched=True,
    batch_invariant=True,
    limits={form: Limits(atol=1e-4, rtol=1e-3, agreement=0) for form in FILES},
    notes=[],
)


def proof(**changes: Any) -> Proof:
    """A verification that found nothing."""
    fields: dict[str, Any] = {
        "passed": True,
        "diagnosis": None,
        "sentence": None,
        "checks": [],
        "parity": parity(),
        "decisions": None,
        "facts": {},
    }
    return Proof(**(fields | changes))


class Children:
    """Takes the place of `run_child`: reads the step off the command line and does what the test says."""

    def __init__(self, act: Step = good) -> None:
        self.act = act
        self.steps: list[tuple[str, str | None]] = []
        self.routes: list[str] = []
        self.environments: list[dict[str, str]] = []

    def __call__(
        self,
        words: Sequence[str],
        echo: bool = True,
        limit_s: float | None = None,
        log: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Ended:
        step, rest = words[words.index("export.step") + 1], list(words[words.index("export.step") + 2 :])
        form = rest[1] if rest[1] in FILES else None
        folder = Path(rest[rest.index("--directory") + 1])
        assert not (folder / MANIFEST).exists()  # the manifest comes last
        assert limit_s is not None and log is not None
        log.write_text(f"the log of {step} {form}")
        self.steps.append((step, form))
        if step == "export":
            self.routes.append(rest[rest.index("--route") + 1])
            self.environments.append(environment or {})
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
    before = fingerprint(job.model)
    with staging(job.directory) as folder:
        write_golden(job, folder)
        formats: dict[str, FormatRecord] = {}
        for form in order(list(job.model.formats)):
            formats[form] = export_format(job, form, folder, formats)
        return publish(job, folder, formats, before)


def changed(job: Job, **fields: Any) -> Job:
    return Job(job.name, job.model.model_copy(update=fields), job.config, job.directory)


def test_a_version_holds_golden_artifacts_and_manifest_and_nothing_else(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = run(job, monkeypatch)
    folder, read = read_newest(job.directory)
    assert read == manifest
    assert {item.name for item in folder.iterdir()} == {"model.pt", "model.onnx", GOLDEN, SUITE, MANIFEST, LOGS}
    assert {item.name for item in (folder / LOGS).iterdir()} == {
        "golden.log",
        "onnx-dynamo-export.log",
        "onnx-dynamo-verify.log",
        "torchscript-script-export.log",
        "torchscript-script-verify.log",
    }
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
        ("export", "onnx"),
        ("verify", "onnx"),
        ("export", "torchscript"),
        ("verify", "torchscript"),
    ]


def test_a_folder_counts_by_its_files_together(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    source = job.directory.parent / "model.keras"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"k")
    described = model(framework="keras", source=str(source), formats=["savedmodel"])
    keras = Job("words", described, job.config, job.directory)
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
            found = proof(
                passed=False, parity=parity(passed=False, max_abs=0.5), diagnosis="wrong values", sentence=why
            )
            write_json(folder / f"{form}.proof.json", found)
            return Ended(5, ["{}", f"error: wrong values: {why}"])
        return None

    manifest = run(job, monkeypatch, act)
    failed = manifest.formats["torchscript"]
    assert (failed.status, failed.ok) == (f"failed: wrong values: {why}", False)
    assert failed.diagnosis == "wrong values"
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
        (Ended(-9, ["loading"], timed_out_s=600.0), "failed: took longer than its limit of 600 s"),
        (Ended(UNSUPPORTED, ["error: tf2onnx: no such operator"]), "unsupported: tf2onnx: no such operator"),
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
    assert [step for step, _ in children.steps] == ["golden", "export", "export", "export", "export"]
    assert children.routes == ["dynamo", "scripted", "script", "trace"]


def test_a_route_that_does_not_exist_is_recorded_and_nothing_is_run_for_it(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children()
    monkeypatch.setattr(pipeline, "run_child", children)
    network = model(framework="tensorflow", source="zoo.somewhere:build", formats=["pt2", "onnx"])
    manifest = export(Job("words", network, job.config, job.directory))
    record = manifest.formats["pt2"]
    assert record.status == "unsupported: there is no route from tensorflow to pt2"
    assert not record.ok
    assert ("export", "pt2") not in children.steps
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
    assert "--route dynamo" in record.reproduce[1]
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
    monkeypatch.setattr(jobs, "versions", lambda packages: dict.fromkeys(packages, "99"))
    assert up_to_date(job) is None


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"!")


def break_json(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


def other_schema(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))


@pytest.mark.parametrize(
    ("file", "tamper"),
    [
        ("model.pt", append),
        ("model.onnx", append),
        ("model.onnx", Path.unlink),
        (SUITE, append),
        (GOLDEN, append),
        (GOLDEN, Path.unlink),
        (MANIFEST, break_json),
        (MANIFEST, other_schema),
    ],
    ids=[
        "torchscript",
        "onnx",
        "onnx gone",
        "suite",
        "golden",
        "golden gone",
        "manifest cut off",
        "manifest of another schema",
    ],
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


def test_two_exports_at_once_make_two_versions(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(path: Path, value: Any) -> None:
        """Just before the first rename, another export takes the number that was chosen."""
        write_bytes(job.directory / "1" / MANIFEST, b"of the other")
        write_json(path, value)

    monkeypatch.setattr(pipeline, "write_json", meanwhile)
    manifest = run(job, monkeypatch)
    assert manifest.version == 2
    assert read_newest(job.directory) == (job.directory / "2", manifest)
    assert (job.directory / "1" / MANIFEST).read_bytes() == b"of the other"
    assert sorted(item.name for item in job.directory.iterdir()) == ["1", "2"]


def test_a_version_that_cannot_be_renamed_for_another_reason_is_no_endless_search(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Path, target: Path) -> Path:
        if self.name == "version":
            raise OSError(errno.EACCES, "Permission denied", str(target))
        return rename(self, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", forbidden)
    with pytest.raises(PermissionError):
        run(job, monkeypatch)
    assert list(job.directory.iterdir()) == []


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


@pytest.mark.parametrize(
    ("card", "kept"),
    [
        ('{"accuracy": {"top1": 0.9}, "test_rows": 12}', {"test_rows": 12}),
        ('{"accuracy": [0.9], "majority_baseline": null, "data_sha256": true}', {}),
        ('{"accuracy": NaN, "majority_baseline": 1e999, "test_rows": 12}', {"test_rows": 12}),
        ('{"accuracy": "91 %"}', {"accuracy": "91 %"}),
        ("null", {}),
        ("[]", {}),
        ("0.91", {}),
        ('"accuracy"', {}),
        ("", {}),
        ("{", {}),
        ("ace of spades", {}),
        ('{"accuracy": "\\ud800", "test_rows": 12}', {}),
        ("[" * 100_000, {}),
        ("\xff", {}),
    ],
    ids=[
        *("table", "no values", "not finite", "words", "null", "list", "number", "string", "empty", "cut off"),
        *("no JSON", "half a character", "deep", "no UTF-8"),
    ],
)
def test_a_card_of_somebody_else_beside_the_weights_is_no_obstacle(
    job: Job, monkeypatch: pytest.MonkeyPatch, weights: Path, card: str, kept: dict[str, Any]
) -> None:
    weights.with_name("card.json").write_bytes(card.encode("latin-1"))
    manifest = run(job, monkeypatch)
    assert manifest.accuracy == kept
    assert read_newest(job.directory)[1] == manifest


def test_a_folder_that_is_called_like_a_card_is_no_obstacle(
    job: Job, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    weights.with_name("card.json").mkdir()
    assert run(job, monkeypatch).accuracy == {}


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


def refuse(*formats: str) -> Step:
    """Children that do everything but make an artifact of these formats."""

    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        if step == "export" and form in formats:
            return Ended(UNSUPPORTED, ["error: converter: NoSuchOperator: it said no"])
        return good(step, form, folder)

    return act


def test_the_next_route_is_tried_where_the_one_before_was_not_proven(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter([Ended(5, ["error: frozen dimension: 'length' is 7"])])

    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        good(step, form, folder)
        return next(verdicts, None) if (step, form) == ("verify", "torchscript") else None

    children = Children(act)
    monkeypatch.setattr(pipeline, "run_child", children)
    record = export(changed(job, formats=["torchscript"])).formats["torchscript"]
    assert record.ok
    assert children.routes == ["script", "trace"]
    assert [(item.route, item.status) for item in record.attempts] == [
        ("script", "failed: frozen dimension: 'length' is 7")
    ]


def test_a_format_without_a_native_route_leads_on_from_the_proven_onnx_file(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children()
    monkeypatch.setattr(pipeline, "run_child", children)
    manifest = export(changed(job, formats=["savedmodel"]))
    assert children.routes == ["dynamo", "onnx-tensorflow"]
    assert list(manifest.formats) == ["savedmodel"]
    folder, _ = read_newest(job.directory)
    assert not (folder / "model.onnx").exists()  # nobody asked for it
    lines = manifest.formats["savedmodel"].reproduce
    assert [line.split("export.step ")[1].split(" --")[0] for line in lines] == [
        "golden words",
        "export words onnx",
        "export words savedmodel",
        "verify words savedmodel",
    ]


def test_without_a_proven_onnx_file_what_leads_on_from_it_is_unsupported_and_quotes_why(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children(refuse("onnx"))
    monkeypatch.setattr(pipeline, "run_child", children)
    manifest = export(changed(job, formats=["savedmodel", "onnx", "onnx-int8"]))
    why = "converter: NoSuchOperator: it said no"
    assert manifest.formats["onnx"].status == f"unsupported: {why}"
    for form in ("savedmodel", "onnx-int8"):
        assert manifest.formats[form].status == f"unsupported: no proven onnx to lead on from: {why}"
    assert children.routes == ["dynamo", "scripted"]  # once, not once for each format


def test_of_routes_that_all_fail_the_one_that_came_furthest_speaks(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(
        [Ended(UNSUPPORTED, ["error: script says no"]), None, Ended(UNSUPPORTED, ["error: onnx2torch says no"])]
    )

    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        if form != "torchscript":
            return good(step, form, folder)
        if step == "export":
            return next(tries) or good(step, form, folder)
        write_json(folder / f"{form}.proof.json", proof(passed=False, diagnosis="frozen control flow", sentence="it"))
        return Ended(5, ["error: frozen control flow: it"])

    record = run(changed(job, formats=["torchscript"]), monkeypatch, act).formats["torchscript"]
    assert record.status == "failed: frozen control flow: it"
    assert record.diagnosis == "frozen control flow"
    assert [item.status for item in record.attempts] == [
        "unsupported: script says no",
        "unsupported: onnx2torch says no",
    ]


def test_keras_goes_to_torchscript_in_a_process_of_the_torch_backend(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "model.keras"
    source.write_bytes(b"k")
    children = Children()
    monkeypatch.setattr(pipeline, "run_child", children)
    keras = Job("words", model(framework="keras", source=str(source)), job.config, job.directory)
    manifest = export(keras)
    assert dict(zip(children.routes, children.environments, strict=True)) == {
        "tf2onnx": {},
        "keras-torch": {"KERAS_BACKEND": "torch"},
    }
    assert manifest.formats["torchscript"].reproduce[-2].startswith("KERAS_BACKEND=torch python -m export.step export ")


def test_what_the_steps_took_is_recorded(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        good(step, form, folder)
        return Ended(0, [], seconds=2.0, peak_mib={"export": 700, "verify": 300}.get(step, 0))

    record = run(job, monkeypatch, act).formats["onnx"]
    assert (record.peak_mib, record.export_seconds) == (700, 2.0)


def test_memory_limits_how_many_models_are_exported_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 7 * 2**30

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert pipeline.most_at_once() == 2
    Memory.available = 2**20
    assert pipeline.most_at_once() == 1
