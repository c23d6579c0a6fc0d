"""The models.toml of an export without one: a person may keep and edit it, and then it is theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.config import read_config
from contract.errors import LoadproofError, UsageError
from export import one

SLO = "\n[models.rr.slo]\np99_ms = 20\nrate = 50\n"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def exported(*words: str) -> Path:
    """The file of an export that came to its end."""
    with one.described(["rr.onnx", "--name", "rr", "--artifacts", "artifacts", *words]) as job:
        assert job.model == read_config(job.config).models["rr"]
    return job.config


def edit(file: Path) -> str:
    text = file.read_text() + SLO
    file.write_text(text)
    return text


def test_a_file_that_nobody_edited_is_written_anew() -> None:
    first = exported()
    assert exported("--formats", "onnx") == first
    assert read_config(first).models["rr"].formats == ["onnx"]


def test_a_file_that_was_edited_stays_and_the_next_export_writes_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = exported()
    text = edit(kept)
    for _ in range(2):
        beside = exported()
        assert beside == tmp_path / "artifacts" / "rr" / "models.new.toml"
        assert kept.read_text() == text
    said = capsys.readouterr().err
    assert f"left {kept} alone, which was edited" in said and f"wrote {beside}" in said


def test_a_value_that_was_changed_in_its_place_is_an_edit_too() -> None:
    kept = exported("--formats", "onnx")
    changed = kept.read_text().replace('["onnx"]', '["savedmodel"]')
    kept.write_text(changed)
    assert exported("--formats", "onnx") != kept
    assert kept.read_text() == changed


def test_a_failed_export_leaves_an_edited_file_alone_and_nothing_beside_it(tmp_path: Path) -> None:
    kept = exported()
    text = edit(kept)
    with (
        pytest.raises(LoadproofError, match="it failed"),
        one.described(["rr.onnx", "--name", "rr", "--artifacts", "artifacts"]),
    ):
        raise LoadproofError("it failed")
    assert kept.read_text() == text
    assert list((tmp_path / "artifacts" / "rr").iterdir()) == [kept]


def test_two_edited_files_are_a_sentence() -> None:
    edit(exported())
    edit(exported())
    with pytest.raises(UsageError, match=r"both were edited.*move the one that you keep"):
        exported()
