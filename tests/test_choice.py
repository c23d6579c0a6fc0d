"""When servers that run are those that are asked for, and what is kept of the asking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contract.batching import Batching, TfServing, Triton
from contract.config import ModelsFile
from contract.endpoints import Endpoints, Servers
from contract.files import read_model, write_json
from contract.versions import Versions
from contract.workspace import Workspace
from serving import fleet
from serving.choice import Choice, fingerprint, keep_word, kept, read_choice, write_choice
from serving.layout.laid_out import BRIDGE
from serving.layout.repository import Served, lay_out, plan
from serving.rolling.roll import roll
from tests.builders import config, endpoint, endpoints, format_record, model, served, workspace, write_artifacts

AT = "rest://gpu2:8501,grpc://gpu2:8500"


@pytest.fixture
def item(tmp_path: Path) -> Served:
    newest = served(workspace(tmp_path), version=2)
    return replace(newest, older=(replace(newest, version=1),))


def test_an_older_version_with_other_bytes_or_none_at_all_is_served_otherwise(item: Served) -> None:
    (older,) = item.older
    others = [(), (replace(older, record=format_record(sha256="b" * 64)),), (replace(older, version=0),)]
    found = {fingerprint(config(), [replace(item, older=each)], Choice()) for each in (item.older, *others)}
    assert len(found) == 4


def test_in_which_order_models_are_served_is_nothing_to_how(item: Served) -> None:
    other = replace(item, name="words__torchscript", format="torchscript")
    assert fingerprint(config(), [item, other], Choice()) == fingerprint(config(), [other, item], Choice())


def test_of_tf_serving_s_models_the_first_says_how_it_batches_and_is_told_apart(item: Served) -> None:
    one, other = (replace(item, name=name, engine="tfserving", format="savedmodel") for name in ("words", "more"))
    assert fingerprint(config(), [one, other], Choice()) != fingerprint(config(), [other, one], Choice())


def test_a_word_about_a_server_changes_nothing_about_how_it_runs(item: Served) -> None:
    without, given = (Choice(tfserving=AT, tfserving_ours=ours) for ours in (False, True))
    assert fingerprint(config(), [item], without) == fingerprint(config(), [item], given)
    assert fingerprint(config(), [item], without) != fingerprint(config(), [item], Choice())


def test_the_word_of_the_last_start_counts_and_the_rest_stays_as_it_was_started(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    write_choice(Choice(tfserving=AT, restarts=7), place)
    keep_word(Choice(tfserving=AT, tfserving_ours=True, restarts=1), place)
    assert read_choice(place) == Choice(tfserving=AT, tfserving_ours=True, restarts=7)
    keep_word(Choice(tfserving=AT), place)
    assert not read_choice(place).tfserving_ours


def test_what_servers_keep_that_were_asked_for_otherwise_is_one_sentence() -> None:
    runs = Choice(restarts=5)
    assert kept(runs.model_copy(update={"tfserving_ours": True}), runs) == ""  # which counts from now on
    said = kept(Choice(restarts=0, one_at_a_time=True), runs)
    assert said == "they keep --restarts 5 and hold all formats, as they were started; 'make stop' first to change that"


@pytest.mark.parametrize("passed_over", [False, True])
def test_after_a_roll_a_start_finds_all_as_it_would_serve_it_unless_an_export_was_passed_over(
    tmp_path: Path, passed_over: bool
) -> None:
    place = workspace(tmp_path)
    described = config({"words": model(triton=Triton(versions=2))})
    for version in (1, 2):
        write_artifacts(place, "words", ("onnx",), version=version)
    wanted, _ = plan(described, "all", place)
    lay_out(wanted, place)
    if passed_over:
        (place.triton_repository / "words__onnx" / "1").rename(place.triton_repository / "words__onnx" / "0")
    write_choice(Choice(), place)
    before = fingerprint(described, [replace(wanted[0], version=1, older=())], Choice())
    _serving(wanted[0], before, place)
    fleet.renew_fingerprint(described, "all", place)
    known = read_model(place.endpoints, Endpoints, "make serve").fingerprint
    assert (known == fingerprint(described, wanted, Choice())) != passed_over


def test_a_roll_leaves_settings_that_have_changed_to_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    write_artifacts(place, "words", ("onnx",))
    started, now = (config({"words": model(batching=Batching(max_batch_size=size))}) for size in (8, 16))
    wanted, _ = plan(now, "all", place)
    lay_out(wanted, place)
    write_choice(Choice(), place)
    before = fingerprint(started, plan(started, "all", place)[0], Choice())
    _serving(wanted[0], before, place)
    fleet.renew_fingerprint(now, "all", place)
    assert read_model(place.endpoints, Endpoints, "make serve").fingerprint == before
    assert "settings have changed" in capsys.readouterr().err


FORMATS = {"triton": "onnx", "tfserving": "savedmodel"}
WIDER: list[Versions] = [2, "all", [1]]


def _described(engine: str, versions: Versions) -> ModelsFile:
    """`words` on one engine, which is to serve these versions."""
    settings = {"triton": Triton, "tfserving": TfServing}[engine](versions=versions)
    return config({"words": model(engines=[engine], formats=[FORMATS[engine]], **{engine: settings})})


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
@pytest.mark.parametrize("versions", WIDER, ids=str)
def test_where_only_versions_have_changed_a_roll_says_so_and_a_start_applies_them(
    tmp_path: Path, engine: str, versions: Versions, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    write_artifacts(place, "words", (FORMATS[engine],))
    started, now = _described(engine, 1), _described(engine, versions)
    _started(started, place)
    before = read_model(place.endpoints, Endpoints, "make serve").fingerprint
    assert roll(now, "all", place) == []
    known = read_model(place.endpoints, Endpoints, "make serve").fingerprint
    assert known == before
    assert known != fingerprint(now, plan(now, "all", place)[0], Choice())  # so that a start does not find it running
    assert f"what models.words.{engine}.versions asks for now, which is 1" in capsys.readouterr().err


def test_a_list_that_changed_below_its_newest_is_told_by_a_roll_and_left_to_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    for version in (1, 2, 3):
        write_artifacts(place, "words", ("onnx",), version=version)
    _started(_described("triton", [1, 3]), place)
    assert roll(_described("triton", [1, 2, 3]), "all", place) == []
    told = capsys.readouterr().err
    assert "words__onnx on triton has no newer version to roll to" in told
    assert "which is 1, 2, 3 of the exports that there are, is served from the next 'make serve' on" in told


def test_a_roll_where_all_is_served_as_it_is_asked_for_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    write_artifacts(place, "words", ("onnx",))
    _started(_described("triton", "all"), place)
    (place.triton_repository / "words__onnx" / str(BRIDGE + 1)).mkdir()  # of a reload that was interrupted
    assert roll(_described("triton", "all"), "all", place) == []
    assert capsys.readouterr().err == ""


def test_settings_that_have_changed_are_told_where_versions_are_served_otherwise_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    write_artifacts(place, "words", ("onnx",))
    _started(_described("triton", 1), place)
    words = model(engines=["triton"], triton=Triton(versions="all"), batching=Batching(max_batch_size=16))
    roll(config({"words": words}), "all", place)
    assert fleet.SETTINGS_CHANGED in capsys.readouterr().err


def _started(described: ModelsFile, place: Workspace) -> None:
    """Lay out the one model of ``described``, and describe it as what runs."""
    (item,), _ = plan(described, "all", place)
    lay_out([item], place)
    write_choice(Choice(), place)
    write_json(place.servers, Servers(schema_version=1, servers=[]))
    _serving(item, fingerprint(described, [item], Choice()), place)


def _serving(item: Served, fingerprint: str, place: Workspace) -> None:
    """Describe this model as what runs."""
    known = endpoints(
        endpoint(engine=item.engine, served_name=item.name, version=item.version, artifact_sha256=item.record.sha256)
    )
    write_json(place.endpoints, known.model_copy(update={"fingerprint": fingerprint}))
