"""The matrix: which folders it finds, what a cell says, and a sentence for a folder that holds no export."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.files import write_json
from contract.manifest import MANIFEST, Decisions
from export.show import REASON_WIDTH, folders, main, matrix, read
from tests.builders import format_record, parity, workspace, write_artifacts


def artifacts(tmp_path: Path) -> Path:
    write_artifacts(workspace(tmp_path), "words", version=1)
    write_artifacts(workspace(tmp_path), "words", version=2)
    write_artifacts(workspace(tmp_path), "others", failed={"savedmodel": "failed: wrong values: r0001: far off"})
    return tmp_path / "artifacts"


@pytest.mark.parametrize(
    ("below", "meant"),
    [
        ("", [("others", 1), ("words", 2)]),
        ("words", [("words", 2)]),
        ("words/1", [("words", 1)]),
        ("others", [("others", 1)]),
    ],
    ids=["all", "a model", "a version", "another model"],
)
def test_a_path_means_a_version_the_newest_of_a_model_or_of_every_model(
    tmp_path: Path, below: str, meant: list[tuple[str, int]]
) -> None:
    assert [(item.model, item.version) for item in map(read, folders(artifacts(tmp_path) / below))] == meant


def test_what_else_lies_in_the_folder_is_no_obstacle(tmp_path: Path) -> None:
    folder = artifacts(tmp_path)
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    (folder / ".staging-1").mkdir()
    (folder / "words" / "models.toml").write_text("mine")
    (folder / "words" / "99").mkdir()  # without a manifest: incomplete
    assert [(item.model, item.version) for item in map(read, folders(folder))] == [("others", 1), ("words", 2)]


@pytest.mark.parametrize("name", ["nowhere", "a file", "empty", "incomplete", "artifacts/words/1/logs"])
def test_a_folder_without_an_export_is_a_sentence_with_a_next_step(tmp_path: Path, name: str) -> None:
    artifacts(tmp_path)
    (tmp_path / "a file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "incomplete" / "words" / "1").mkdir(parents=True)
    with pytest.raises(UsageError, match=f"{name} holds no complete export; run 'make export' first, or name its"):
        main([str(tmp_path / name)])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', "null"])
def test_a_manifest_that_is_none_is_a_sentence_with_its_path(tmp_path: Path, text: str) -> None:
    manifest = artifacts(tmp_path) / "words" / "2" / MANIFEST
    manifest.write_text(text)
    with pytest.raises(UsageError, match=r"is not a valid manifest file: .*; remake it with 'make export'") as caught:
        main([str(tmp_path / "artifacts")])
    assert str(manifest) in str(caught.value)


def test_a_row_for_each_format_and_then_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(artifacts(tmp_path))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["model", "source", "format", "status"]
    assert [line.split()[:4] for line in lines[1:6]] == [
        ["others", "pytorch", "savedmodel", "failed"],
        ["others", "pytorch", "torchscript", "ok"],
        ["others", "pytorch", "onnx", "ok"],
        ["words", "pytorch", "torchscript", "ok"],
        ["words", "pytorch", "onnx", "ok"],
    ]
    assert lines[6:] == ["", "others savedmodel: failed: wrong values: r0001: far off"]


def test_json_is_the_manifests_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = artifacts(tmp_path)
    main([str(folder), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == [json.loads((folder / name / MANIFEST).read_text()) for name in ("others/1", "words/2")]


def test_a_long_reason_is_cut_and_everything_of_a_cell_stays_in_its_column(tmp_path: Path) -> None:
    manifest = write_artifacts(workspace(tmp_path), failed={"savedmodel": f"unsupported: {'long ' * 100}"})
    decisions = Decisions(rows=9, agreement=0.995, accuracy_trained=0.91, accuracy=0.905)
    record = format_record(decisions=decisions, bytes=3072, parity=parity(max_abs=None, agreement=None))
    both = manifest.model_copy(update={"formats": manifest.formats | {"onnx-int8": record}})
    lines = matrix([both]).splitlines()
    assert max(len(line) for line in lines) < REASON_WIDTH + 40
    int8 = next(line for line in lines if "onnx-int8" in line)
    assert "99.5%" in int8 and "0.910 > 0.905" in int8 and "3 KiB" in int8
    starts = {
        line.index(cell) for line, cell in zip(lines[:5], ["status", "unsupported", "ok", "ok", "ok"], strict=True)
    }
    assert len(starts) == 1


def test_one_unreadable_manifest_does_not_hide_the_other_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = artifacts(tmp_path)
    (folder / "others" / "1" / MANIFEST).write_text("{")
    with suppress(UsageError):
        main([str(folder)])
    assert "words" in capsys.readouterr().out


def test_what_was_left_out_of_a_proof_is_shown(tmp_path: Path) -> None:
    """A check that was left out is part of what a proof is worth."""
    manifest = write_artifacts(workspace(tmp_path))
    noted = manifest.model_copy(update={"notes": ["longest-0000 is left out: the trained model refuses it"]})
    write_json(tmp_path / "noted.json", noted)
    assert "longest-0000 is left out" in matrix([noted])
