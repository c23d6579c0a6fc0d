"""Files are written whole or not at all, and hashed by what is in them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from contract.errors import UsageError, of_the_machine
from contract.files import copy_folder, read_model, sha256_file, sha256_tree, write_bytes, write_json, write_text


class Colour(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    hue: int = 0


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.bin"
    write_bytes(target, b"\x00\xff")
    assert target.read_bytes() == b"\x00\xff"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert os.listdir(target.parent) == ["file.bin"]


def test_a_later_write_replaces_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"long " * 1000)
    write_bytes(target, b"short")
    assert target.read_bytes() == b"short"


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("failure", [OSError("disk is full"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"old")

    def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(type(failure)):
            write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_value_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    write_json(target, {"a": 1})
    with pytest.raises(TypeError):
        write_json(target, {"a": object()})
    assert json.loads(target.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_reader_that_has_the_old_file_open_keeps_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"old")
    with target.open("rb") as reader:
        write_bytes(target, b"new and longer")
        assert reader.read() == b"old"


def test_text_is_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "µ → ü")
    assert (tmp_path / "t").read_bytes() == "µ → ü".encode()


def test_json_is_for_people_too(tmp_path: Path) -> None:
    write_json(tmp_path / "j", Colour(name="grün", hue=120))
    assert (tmp_path / "j").read_text(encoding="utf-8") == '{\n  "name": "grün",\n  "hue": 120\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nothing_that_is_no_json_is_written(tmp_path: Path, value: float) -> None:
    """NaN and Infinity are Python's; browsers and jq refuse the file."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in a JSON file")

    try:
        write_json(tmp_path / "j", {"a": value})
    except ValueError:
        return
    json.loads((tmp_path / "j").read_text(), parse_constant=refuse)


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "j", Colour(name="red", hue=3))
    assert read_model(tmp_path / "j", Colour, "make paint") == Colour(name="red", hue=3)


def test_a_missing_border_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_model(tmp_path / "colour.json", Colour, "make paint")
    assert str(caught.value) == f"{tmp_path / 'colour.json'} does not exist; run 'make paint' first"


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"{", "document: Invalid JSON"),
        (b"[]", "document: "),
        (b'{"hue": 1}', "name: Field required"),
        (b'{"name": "a", "hue": "x"}', "hue: "),
        (b'{"name": "a", "saturation": 1}', "saturation: "),
        (b"", "document: "),
        (b"\xff\xfe\x00", ""),
    ],
)
def test_a_broken_border_file_says_where_and_how_to_remake_it(tmp_path: Path, data: bytes, part: str) -> None:
    path = tmp_path / "colour.json"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_model(path, Colour, "make paint")
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} is not a valid colour file: ")
    assert part in sentence
    assert sentence.endswith("; remake it with 'make paint'")


def test_a_folder_in_place_of_a_border_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_model(tmp_path, Colour, "make paint")


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


FILES = {"saved_model.pb": b"graph", "variables/data": b"weights", "variables/index": b"", "a": b"1"}


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    path = tree(tmp_path, {"f": b"hello" * 100_000}) / "f"
    assert sha256_file(path) == sha256_tree(path) == hashlib.sha256(b"hello" * 100_000).hexdigest()


def test_the_hash_of_a_tree_does_not_depend_on_the_order_of_creation_or_its_place(tmp_path: Path) -> None:
    forward = tree(tmp_path / "one", FILES)
    backward = tree(tmp_path / "two" / "deeper", dict(reversed(FILES.items())))
    assert sha256_tree(forward) == sha256_tree(backward)


@pytest.mark.parametrize(
    "changed",
    [
        FILES | {"a": b"2"},
        FILES | {"b": b""},
        {name: data for name, data in FILES.items() if name != "variables/index"},
        {("b" if name == "a" else name): data for name, data in FILES.items()},
        {name.replace("variables/index", "index"): data for name, data in FILES.items()},
        FILES | {"a": FILES["saved_model.pb"], "saved_model.pb": FILES["a"]},
    ],
    ids=["content", "one more", "one less", "renamed", "moved", "swapped"],
)
def test_the_hash_of_a_tree_changes_with_names_and_contents(tmp_path: Path, changed: dict[str, bytes]) -> None:
    assert sha256_tree(tree(tmp_path / "one", FILES)) != sha256_tree(tree(tmp_path / "two", changed))


def test_the_hash_does_not_depend_on_times_or_permissions(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", FILES)
    before = sha256_tree(root)
    os.utime(root / "a", (1, 1))
    (root / "a").chmod(0o600)
    assert sha256_tree(root) == before


def test_what_is_not_there_has_no_hash(tmp_path: Path) -> None:
    """An artifact that was deleted must not hash like an empty folder."""
    with pytest.raises(OSError, match="missing"):
        sha256_tree(tmp_path / "missing")


def test_a_folder_is_copied_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "saved" / "variables").mkdir(parents=True)
    (tmp_path / "saved" / "assets").mkdir()
    (tmp_path / "saved" / "variables" / "data").write_bytes(b"weights")
    copy_folder(tmp_path / "saved", tmp_path / "copy")
    assert (tmp_path / "copy" / "variables" / "data").read_bytes() == b"weights"
    assert (tmp_path / "copy" / "assets").is_dir()


def test_a_full_disk_is_named_where_a_folder_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "model.pb").write_bytes(b"graph")

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError, match="No space left on device") as refused:
        copy_folder(tmp_path / "saved", tmp_path / "copy")
    assert of_the_machine(refused.value).startswith(f"{tmp_path}/copy/model.pb: No space left on device; ")
