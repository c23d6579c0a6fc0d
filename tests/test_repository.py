"""The model repository: two trees from verified artifacts, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Batching, TfServing, Triton
from contract.errors import UsageError
from contract.files import read_model, sha256_tree, write_bytes, write_json
from contract.golden import Example, read_examples, write_examples
from contract.manifest import Manifest
from contract.tensors import TensorSpec, from_bytes, to_bytes
from contract.workspace import Workspace
from serving import fleet
from serving.layout import repository
from serving.layout.repository import Served, lay_out, plan, served_name
from serving.layout.tfserving_config import keeping, models_config, policy_of, read_models
from serving.layout.version_policy import version_policy
from tests.builders import config, example, examples, format_record, model, workspace, write_artifacts


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with two models: one of PyTorch's formats, one with a SavedModel."""
    place = workspace(tmp_path / "work")
    write_artifacts(place, "words", ("torchscript", "onnx"))
    write_artifacts(place, "images", ("savedmodel", "onnx"), version=3)
    return place


def both(**changes: Any) -> Any:
    return config({"words": model(**changes), "images": model(**changes)})


def planned(place: Workspace, **changes: Any) -> list[Served]:
    return plan(both(**changes), "all", place)[0]


def test_both_trees_hold_every_artifact_byte_for_byte(place: Workspace) -> None:
    lay_out(planned(place), place)
    assert {item.name for item in place.triton_repository.iterdir()} == {
        "words__torchscript",
        "words__onnx",
        "images__savedmodel",
        "images__onnx",
    }
    source = place.artifacts / "words" / "1"
    assert (place.triton_repository / "words__torchscript/1/model.pt").read_bytes() == (
        source / "model.pt"
    ).read_bytes()
    assert (place.triton_repository / "words__onnx/1/model.onnx").read_bytes() == (source / "model.onnx").read_bytes()
    assert (place.triton_repository / "images__savedmodel/3/model.savedmodel/variables/variables.index").is_file()
    assert (place.tfserving_repository / "images/3/saved_model.pb").read_bytes() == b"a graph"


def test_every_config_parses_and_is_named_as_its_folder(place: Workspace) -> None:
    lay_out(planned(place), place)
    for item in planned(place):
        if item.engine != "triton":
            continue
        text = (place.triton_repository / item.name / "config.pbtxt").read_text()
        read = text_format.Parse(text, pb.ModelConfig())
        assert read.name == item.name
        assert read.parameters["artifact_sha256"].string_value == item.record.sha256
        assert (place.triton_repository / item.name / str(item.version) / read.default_model_filename).exists()


def test_warm_up_files_hold_the_golden_bytes(place: Workspace) -> None:
    lay_out(planned(place), place)
    golden = {item.key: item for item in read_examples(place.artifacts / "words" / "1" / "golden.npz")}
    folder = place.triton_repository / "words__onnx"
    read = text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())
    named = {entry.inputs["tokens"].input_data_file: entry for entry in read.model_warmup}
    assert {file.name for file in (folder / "warmup").iterdir()} == set(named)
    assert len(named) >= 3
    for file, entry in named.items():
        first = golden[entry.name].inputs["tokens"][:1]  # Triton repeats one row `batch_size` times
        data = (folder / "warmup" / file).read_bytes()
        assert np.array_equal(from_bytes(data[: first.nbytes], "int64", first.shape), first)


def test_a_warm_up_file_of_strings_holds_one_row_since_triton_refuses_more(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    words = np.array([[b"first"], [b"second"], [b"third"]], dtype=object)
    manifest = write_artifacts(place, "words", ("onnx",), golden=[Example("r0000", {"text": words})])
    text = TensorSpec(name="text", dtype="string", dims=["batch", 1])
    write_json(place.artifacts / "words/1/manifest.json", manifest.model_copy(update={"inputs": [text]}))
    lay_out(plan(config(), "default", place)[0], place)
    folder = place.triton_repository / "words__onnx"
    (entry,) = text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig()).model_warmup
    assert entry.batch_size == 3
    assert (folder / "warmup" / "r0000.text").read_bytes() == to_bytes(words[:1])


def test_models_config_parses_and_names_absolute_base_paths(place: Workspace) -> None:
    lay_out(planned(place), place)
    text = (place.tfserving_repository / "models.config").read_text()
    read = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    entries = read.model_config_list.config
    assert [(entry.name, entry.base_path, entry.model_platform) for entry in entries] == [
        ("images", str(place.tfserving_repository / "images"), "tensorflow")
    ]
    assert Path(entries[0].base_path).is_absolute()
    assert (Path(entries[0].base_path) / "3" / "saved_model.pb").is_file()
    assert entries[0].model_version_policy.latest.num_versions == 1


def test_batching_config_says_what_models_toml_says(place: Workspace) -> None:
    lay_out(planned(place, batching=Batching(max_batch_size=7, max_queue_delay_us=900)), place)
    text = (place.tfserving_repository / "batching.config").read_text()
    assert "max_batch_size { value: 7 }\n" in text
    assert "batch_timeout_micros { value: 900 }\n" in text


def test_tf_serving_gets_saved_models_only_and_triton_one_model_per_format(place: Workspace) -> None:
    names = {(item.engine, item.name, item.version) for item in planned(place)}
    assert names == {
        ("triton", "words__torchscript", 1),
        ("triton", "words__onnx", 1),
        ("triton", "images__savedmodel", 3),
        ("triton", "images__onnx", 3),
        ("tfserving", "images", 3),
    }
    assert served_name("words", "onnx") == "words__onnx"


@pytest.mark.parametrize(
    ("engines", "expected"), [(["triton"], {"triton"}), (["triton", "tfserving"], {"triton", "tfserving"})]
)
def test_a_model_is_served_on_the_engines_that_it_names(
    place: Workspace, engines: list[str], expected: set[str]
) -> None:
    assert {item.engine for item in planned(place, engines=engines)} == expected


def test_a_failed_format_is_left_out_and_its_reason_is_kept(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    why = "failed: 'logits' is out of tolerance in 1 of 2 elements"
    write_artifacts(place, "words", ("onnx",), failed={"torchscript": why, "savedmodel": "unsupported: no exporter"})
    items, refused = plan(config(), "default", place)
    assert [item.name for item in items] == ["words__onnx"]
    assert refused == {"words torchscript": why, "words savedmodel": "unsupported: no exporter"}
    lay_out(items, place)
    assert [item.name for item in place.triton_repository.iterdir()] == ["words__onnx"]


def test_a_format_that_no_named_engine_takes_is_not_dropped_in_silence(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    write_artifacts(place, "words", ("onnx", "savedmodel"))
    items, refused = plan(config({"words": model(engines=["tfserving"])}), "default", place)
    assert [item.name for item in items] == ["words"]
    assert "words onnx" in refused


def test_the_newest_complete_version_is_taken(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    for version in (1, 2, 10):
        write_artifacts(place, "words", ("onnx",), version=version)
    (place.artifacts / "words" / "11").mkdir()  # no manifest: not complete
    assert [item.version for item in plan(config(), "default", place)[0]] == [10]


def test_a_model_without_an_export_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no complete export; run 'make export' first"):
        plan(config(), "default", workspace(tmp_path))


@pytest.mark.parametrize("file", ["model.onnx", "model.pt"])
def test_a_tampered_artifact_is_refused_and_the_old_trees_stay(place: Workspace, file: str) -> None:
    lay_out(planned(place), place)
    before = sorted(item.relative_to(place.root) for item in (place.root / "model_repository").rglob("*"))
    path = place.artifacts / "words" / "1" / file
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(UsageError, match=f"{file} is not what its manifest says; run 'make export' again"):
        lay_out(planned(place), place)
    assert sorted(item.relative_to(place.root) for item in (place.root / "model_repository").rglob("*")) == before


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_tampered_savedmodel_folder_is_refused(place: Workspace, change: str) -> None:
    folder = place.artifacts / "images" / "3" / "model.savedmodel"
    if change == "added":
        write_bytes(folder / "assets" / "vocabulary.txt", b"words")
    elif change == "removed":
        (folder / "variables" / "variables.index").unlink()
    else:
        (folder / "saved_model.pb").rename(folder / "other.pb")
    with pytest.raises(UsageError, match="is not what its manifest says"):
        lay_out(planned(place), place)


@pytest.mark.parametrize("name", ["with space", "semi;colon", "dollar$(x)", "quote'", "ünïcode", "new\nline"])
def test_a_path_that_a_shell_would_misread_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    place = workspace(tmp_path / name)
    write_artifacts(place, "words", ("onnx",))
    with pytest.raises(UsageError, match="choose another folder with --workspace"):
        lay_out(plan(config(), "default", place)[0], place)
    assert not (place.root / "model_repository").exists()


def test_what_is_no_longer_served_disappears_from_the_trees(place: Workspace) -> None:
    lay_out(planned(place), place)
    stray = place.triton_repository / "stray" / "config.pbtxt"
    write_bytes(stray, b"")
    lay_out([item for item in planned(place) if item.name == "words__onnx"], place)
    assert [item.name for item in place.triton_repository.iterdir()] == ["words__onnx"]
    assert not (place.tfserving_repository / "images").exists()


def test_the_swap_is_one_rename_and_leaves_nothing_beside_the_trees(place: Workspace) -> None:
    for _ in range(2):
        lay_out(planned(place), place)
    assert sorted(item.name for item in (place.root / "model_repository").iterdir()) == ["tfserving", "triton"]


def test_a_failure_while_writing_leaves_the_old_tree_as_it_was(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(planned(place), place)
    before = {item: item.stat().st_mtime_ns for item in place.triton_repository.rglob("*")}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repository, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        lay_out(planned(place), place)
    assert {item: item.stat().st_mtime_ns for item in place.triton_repository.rglob("*")} == before
    monkeypatch.undo()
    lay_out(planned(place), place)  # and what the failure left beside it is no obstacle
    assert sorted(item.name for item in (place.root / "model_repository").iterdir()) == ["tfserving", "triton"]


def test_the_trees_are_copies_so_that_serving_cannot_change_an_artifact(place: Workspace) -> None:
    lay_out(planned(place), place)
    laid, source = place.triton_repository / "words__onnx/1/model.onnx", place.artifacts / "words/1/model.onnx"
    assert not laid.is_symlink()
    assert os.stat(laid).st_ino != os.stat(source).st_ino


def test_a_golden_request_over_the_batch_limit_warms_nothing_up(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    write_artifacts(place, "words", ("onnx",), golden=[example(0, rows=2), example(1, rows=64)])
    lay_out(plan(config(), "default", place)[0], place)
    assert [file.name for file in (place.triton_repository / "words__onnx" / "warmup").iterdir()] == ["r0000.tokens"]


def test_the_golden_batch_that_is_read_is_the_one_of_the_version(place: Workspace) -> None:
    assert [item.key for item in read_examples(planned(place)[0].golden)] == [item.key for item in examples()]


def test_a_tampered_golden_batch_is_refused(place: Workspace) -> None:
    write_examples(place.artifacts / "words" / "1" / "golden.npz", [example(5)])
    with pytest.raises(UsageError, match=r"golden.npz is not what its manifest says; run 'make export' again"):
        lay_out(planned(place), place)


def versions_laid_out(place: Workspace, versions: int) -> dict[str, bytes]:
    """Version -> bytes of the ONNX export of `words` as it lies in Triton's tree."""
    lay_out(plan(config({"words": model(triton=Triton(versions=versions))}), "all", place)[0], place)
    files = (place.triton_repository / "words__onnx").glob("*/model.onnx")
    return {file.parent.name: file.read_bytes() for file in files}


@pytest.fixture
def four_times(tmp_path: Path) -> Workspace:
    """`words`, exported four times; each export's bytes tell its version."""
    place = workspace(tmp_path / "work")
    for version in (1, 2, 3, 10):
        write_artifacts(place, "words", ("onnx",), version=version)
        change(place, version, content=f"export {version}".encode())
    return place


def change(place: Workspace, version: int, content: bytes | None = None, **changes: Any) -> None:
    """Let an export have other bytes, or its manifest say something else."""
    folder = place.artifacts / "words" / str(version)
    manifest = read_model(folder / "manifest.json", Manifest, "make export")
    record = manifest.formats["onnx"]
    if content is not None:
        write_bytes(folder / "model.onnx", content)
        record = record.model_copy(update={"sha256": sha256_tree(folder / "model.onnx")})
    write_json(folder / "manifest.json", manifest.model_copy(update={"formats": {"onnx": record}} | changes))


def test_a_start_serves_as_many_versions_as_a_roll_leaves_each_with_its_own_bytes(four_times: Workspace) -> None:
    assert versions_laid_out(four_times, 1) == {"10": b"export 10"}
    assert versions_laid_out(four_times, 2) == {"10": b"export 10", "3": b"export 3"}
    assert set(versions_laid_out(four_times, 9)) == {"1", "2", "3", "10"}


def test_an_older_version_that_is_not_proven_or_has_another_signature_is_not_served_beside(
    four_times: Workspace,
) -> None:
    change(four_times, 3, formats={"onnx": format_record("failed: it differs")})
    change(four_times, 2, outputs=[TensorSpec(name="other", dtype="float32", dims=["batch", 2])])
    assert set(versions_laid_out(four_times, 2)) == {"10", "1"}


def test_an_older_version_of_other_example_values_and_axis_names_is_served_beside(four_times: Workspace) -> None:
    renamed = TensorSpec(name="tokens", dtype="int64", dims=["rows", "words"], range=(0, 7))
    change(four_times, 3, inputs=[renamed])
    assert set(versions_laid_out(four_times, 2)) == {"10", "3"}


def test_an_older_version_that_is_not_what_was_proven_is_a_sentence_that_says_what_to_remove(
    four_times: Workspace,
) -> None:
    folder = four_times.artifacts / "words" / "3"
    (folder / "model.onnx").write_bytes(b"something else")
    with pytest.raises(UsageError, match=f"is not what its manifest says; .* or remove {folder}"):
        versions_laid_out(four_times, 2)


def test_tf_serving_is_laid_out_and_told_as_many_versions_as_it_is_to_serve(tmp_path: Path) -> None:
    place = workspace(tmp_path / "work")
    for version in (1, 2, 3):
        write_artifacts(place, "images", ("savedmodel",), version=version)
    both_engines = model(formats=["savedmodel"], tfserving=TfServing(versions=2))
    lay_out(plan(config({"images": both_engines}), "all", place)[0], place)
    assert {child.name for child in (place.tfserving_repository / "images").iterdir()} == {"2", "3"}
    read = read_models((place.tfserving_repository / "models.config").read_text())
    assert policy_of(read, "images").latest.num_versions == 2
    assert {child.name for child in (place.triton_repository / "images__savedmodel").glob("[0-9]*")} == {"3"}


def test_a_roll_tells_tf_serving_of_one_model_and_leaves_the_others_as_they_are() -> None:
    before = models_config([("words", Path("/m/words"), 1), ("images", Path("/m/images"), 3)])
    told = keeping(before, "words", version_policy(2))
    assert told == models_config([("words", Path("/m/words"), 2), ("images", Path("/m/images"), 3)])


def test_older_versions_count_as_processes(four_times: Workspace) -> None:
    served = plan(config({"words": model(triton=Triton(versions=4))}), "all", four_times)[0]
    assert [len(item.older) for item in served] == [3]
    assert not fleet.too_many(served * (fleet.MOST_RESIDENT // 4))
    assert fleet.too_many(served * (fleet.MOST_RESIDENT // 4 + 1))
