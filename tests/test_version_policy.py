"""Which versions are served: what models.toml may say of it, the decision, and what it makes of exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import TfServing, Triton
from contract.config import read_config
from contract.errors import UsageError
from contract.files import read_model, write_json
from contract.manifest import Manifest
from contract.tensors import TensorSpec
from contract.versions import Versions
from contract.workspace import Workspace
from serving import fleet
from serving.layout.laid_out import BRIDGE, versions_in, versions_laid_out
from serving.layout.repository import Served, lay_out, plan
from serving.layout.tfserving_config import keeping, models_config, policy_of, read_models
from serving.layout.version_policy import Every, Listed, Newest, version_policy
from tests.builders import config, format_record, model, workspace, write_artifacts

MODEL = """
schema_version = 1
[models.m]
framework = "onnx"
source = "m.onnx"
formats = ["onnx"]
inputs = [{ name = "x", dtype = "float32", dims = ["batch", 2] }]
outputs = [{ name = "y", dtype = "float32", dims = ["batch", 2] }]
"""


def read(tmp_path: Path, engine: str, versions: str) -> Any:
    (tmp_path / "models.toml").write_text(f"{MODEL}[models.m.{engine}]\nversions = {versions}\n")
    return getattr(read_config(tmp_path / "models.toml").models["m"], engine).versions


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
@pytest.mark.parametrize(
    ("versions", "stated"), [("2", 2), ('"all"', "all"), ("[3, 1]", [1, 3]), ("[7]", [7])], ids=str
)
def test_versions_are_a_number_all_or_a_list_that_rises(
    tmp_path: Path, engine: str, versions: str, stated: Versions
) -> None:
    assert read(tmp_path, engine, versions) == stated


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
@pytest.mark.parametrize(
    ("versions", "sentence"),
    [
        ("0", "how many of the newest (1 or more), 'all', or a list of versions such as [1, 3] (got 0)"),
        ("-2", "(got -2)"),
        ("true", "(got True)"),
        ("1.5", "(got 1.5)"),
        ('"newest"', "(got 'newest')"),
        ("[]", "versions count from 1 (got [])"),
        ("[0, 1]", "versions count from 1 (got [0, 1])"),
        ('[1, "2"]', "versions count from 1 (got [1, '2'])"),
        ("[3, 1, 3]", "versions holds a version twice: [3, 1, 3]"),
    ],
)
def test_what_names_no_versions_is_refused_when_models_toml_is_read(
    tmp_path: Path, engine: str, versions: str, sentence: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        read(tmp_path, engine, versions)
    assert f"'models.m.{engine}.versions': " in str(refusal.value)
    assert str(refusal.value).endswith(sentence)


@pytest.mark.parametrize(
    ("versions", "kept"),
    [(1, [10]), (2, [3, 10]), (9, [1, 2, 3, 10]), ("all", [1, 2, 3, 10]), ([2, 3], [2, 3]), ([3], [3])],
    ids=str,
)
def test_of_what_can_be_served_the_policy_keeps(versions: Versions, kept: list[int]) -> None:
    policy = version_policy(versions)
    assert policy.kept([1, 2, 3, 10]) == kept
    assert policy.candidates([1, 2, 3, 10])[-1] == kept[-1]  # what endpoints name
    assert policy.missing([1, 2, 3, 10]) == []


def test_only_a_list_misses_a_version_that_nobody_exported() -> None:
    assert [policy.missing([1, 3]) for policy in (Newest(5), Every(), Listed((2, 3, 4)))] == [[], [], [2, 4]]


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        (2, "latest { num_versions: 2 }"),
        ("all", "all { }"),
        ([1, 3], "specific { versions: 1 versions: 3 }"),
    ],
    ids=str,
)
def test_both_engines_are_told_the_same_in_their_own_configuration(versions: Versions, told: str) -> None:
    triton = pb.ModelVersionPolicy()
    version_policy(versions).write(triton)
    read = read_models(models_config([("words", Path("/m/words"), versions)]))
    for message in (triton, policy_of(read, "words")):
        assert text_format.MessageToString(message, as_one_line=True) == told


@pytest.mark.parametrize("before", [1, "all", [1, 2, 3]], ids=str)
@pytest.mark.parametrize("after", [2, "all", [3, 5]], ids=str)
def test_what_is_written_takes_the_place_of_what_was_said_before(before: Versions, after: Versions) -> None:
    written, fresh = pb.ModelVersionPolicy(), pb.ModelVersionPolicy()
    version_policy(before).write(written)
    version_policy(after).write(written)
    version_policy(after).write(fresh)
    assert written == fresh


def test_a_list_takes_the_place_of_what_a_server_was_told_before() -> None:
    before = models_config([("words", Path("/m/words"), [1, 3])])
    assert keeping(before, "words", Listed((3, 5))) == models_config([("words", Path("/m/words"), [3, 5])])
    assert keeping(before, "words", Every()) == models_config([("words", Path("/m/words"), "all")])


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """`words`, exported four times, for both engines."""
    place = workspace(tmp_path / "work")
    for version in (1, 2, 3, 10):
        write_artifacts(place, "words", ("onnx", "savedmodel"), version=version)
    return place


def change(place: Workspace, version: int, **changes: Any) -> None:
    """Let the manifest of an export say something else."""
    file = place.artifacts / "words" / str(version) / "manifest.json"
    write_json(file, read_model(file, Manifest, "make export").model_copy(update=changes))


def planned(
    place: Workspace, triton: Versions = 1, tfserving: Versions = 1, **changes: Any
) -> tuple[dict[str, Served], dict[str, str]]:
    """Served name -> what is served, and what not."""
    fields: dict[str, Any] = {"formats": ["onnx", "savedmodel"], "engines": ["triton", "tfserving"]}
    words = model(triton=Triton(versions=triton), tfserving=TfServing(versions=tfserving), **(fields | changes))
    served, refused = plan(config({"words": words}), "all", place)
    return {item.name: item for item in served}, refused


def versions(item: Served) -> list[int]:
    """Newest first."""
    return [item.version, *(older.version for older in item.older)]


def test_every_proven_export_of_the_newest_s_signature_is_served_where_all_are(place: Workspace) -> None:
    change(place, 2, outputs=[TensorSpec(name="other", dtype="float32", dims=["batch", 2])])
    served, refused = planned(place, "all", "all")
    assert set(served) == {"words__onnx", "words__savedmodel", "words"}
    assert all(versions(item) == [10, 3, 1] for item in served.values())
    assert refused == {}


def test_of_a_list_just_those_are_laid_out_and_the_newest_of_them_is_what_endpoints_name(place: Workspace) -> None:
    served, _ = planned(place, [1, 3], [2])
    assert {name: versions(item) for name, item in served.items()} == {
        "words__onnx": [3, 1],
        "words__savedmodel": [3, 1],
        "words": [2],
    }
    lay_out(list(served.values()), place)
    assert {name: versions_laid_out(item, place) for name, item in served.items()} == {
        "words__onnx": {1, 3},
        "words__savedmodel": {1, 3},
        "words": {2},
    }
    text = (place.triton_repository / "words__onnx" / "config.pbtxt").read_text()
    assert text_format.Parse(text, pb.ModelConfig()).version_policy.specific.versions == [1, 3]
    told = policy_of(read_models((place.tfserving_repository / "models.config").read_text()), "words")
    assert told.specific.versions == [2]


def test_a_listed_version_without_an_export_is_refused_with_those_that_there_are(place: Workspace) -> None:
    with pytest.raises(UsageError, match=r"models.words.triton.versions lists version 4, .* \(there are 1, 2, 3, 10\)"):
        planned(place, [3, 4])


def test_a_listed_version_that_is_not_proven_in_a_format_is_refused_by_name(place: Workspace) -> None:
    records = planned(place)[0]["words__onnx"].manifest.formats
    change(place, 2, formats=records | {"onnx": format_record("failed: it differs")})
    refusal = r"triton.versions lists version 2, which has no proven export as onnx \(failed: it differs\)"
    with pytest.raises(UsageError, match=refusal):
        planned(place, [2, 3])
    served, _ = planned(place, [2, 3], serve=["savedmodel"])
    assert versions(served["words__savedmodel"]) == [3, 2]


def test_a_listed_version_of_another_signature_is_refused_by_name(place: Workspace) -> None:
    change(place, 1, outputs=[TensorSpec(name="other", dtype="float32", dims=["batch", 2])])
    refusal = r"tfserving.versions lists version 1, whose outputs are other .* instead of logits .* of version 3"
    with pytest.raises(UsageError, match=refusal):
        planned(place, 1, [1, 3])


def test_a_format_that_the_newest_listed_has_not_is_not_served_and_told_with_its_version(place: Workspace) -> None:
    records = planned(place)[0]["words__onnx"].manifest.formats
    change(place, 3, formats=records | {"onnx": format_record("failed: it differs")})
    served, refused = planned(place, [3])
    assert set(served) == {"words__savedmodel", "words"}
    assert refused["words onnx"].startswith("failed: it differs (version 3, the newest that is listed")


def test_a_list_of_one_does_not_look_at_other_exports(place: Workspace) -> None:
    for version in (1, 2, 10):
        (place.artifacts / "words" / str(version) / "manifest.json").write_text("{}")
    assert versions(planned(place, [3], [3])[0]["words__onnx"]) == [3]


def test_a_format_that_one_engine_cannot_take_is_no_refusal_where_the_other_serves_an_older_version(
    place: Workspace,
) -> None:
    served, refused = planned(place, [3], 1)
    assert {name: item.version for name, item in served.items()} == {
        "words__onnx": 3,
        "words__savedmodel": 3,
        "words": 10,
    }
    assert refused == {}


def test_a_format_that_failed_in_a_version_which_only_the_other_engine_serves_is_no_refusal(place: Workspace) -> None:
    records = planned(place)[0]["words__onnx"].manifest.formats
    change(place, 10, formats=records | {"onnx": format_record("failed: it differs")})
    served, refused = planned(place, [3], 1)
    assert served["words__onnx"].version == 3
    assert served["words"].version == 10
    assert refused == {}


def test_what_an_interrupted_reload_left_behind_is_no_version(tmp_path: Path) -> None:
    for name in ("10", "2", str(BRIDGE + 2), "warmup", ".3.new"):
        (tmp_path / name).mkdir()
    assert versions_in(tmp_path) == [2, 10]
    assert versions_in(tmp_path / "nowhere") == []


def test_listed_versions_count_as_processes(place: Workspace) -> None:
    served = [planned(place, [1, 2, 3])[0]["words__onnx"]]
    assert not fleet.too_many(served * (fleet.MOST_RESIDENT // 3))
    assert fleet.too_many(served * (fleet.MOST_RESIDENT // 3 + 1))
