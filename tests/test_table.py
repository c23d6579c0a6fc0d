"""Tables of name -> "module:attribute": imported when chosen, and a sentence for each way to fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from contract.errors import UsageError, nearest
from contract.table import choose, load

TABLE = {"dumps": "json:dumps", "loads": "json:loads", "whole": "json"}


def sentence(target: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(target)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "value"), [("dumps", json.dumps), ("loads", json.loads), ("whole", json)])
def test_a_row_is_the_attribute_or_the_module(name: str, value: object) -> None:
    assert choose(TABLE, name, "codec") is value


def test_an_unknown_name_lists_the_known_ones_and_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        choose(TABLE, "dump", "codec")
    assert str(caught.value) == "unknown codec 'dump': one of dumps, loads, whole; did you mean 'dumps'?"


def test_an_unknown_name_with_nothing_near_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown codec 'zzz': one of dumps, loads, whole$"):
        choose(TABLE, "zzz", "codec")


def test_only_the_chosen_row_is_imported(project: Path) -> None:
    (project / "chosen_row.py").write_text("VALUE = 1\n")
    (project / "other_row.py").write_text("raise SystemExit('imported')\n")
    assert choose({"a": "chosen_row:VALUE", "b": "other_row:VALUE"}, "a", "thing") == 1
    assert "other_row" not in sys.modules


@pytest.mark.parametrize("target", ["", ":dumps", "json:"])
def test_a_target_of_another_form_is_named(target: str) -> None:
    assert sentence(target) == f"'{target}' is not of the form package.module:attribute"


@pytest.mark.parametrize("target", [".json:dumps", "..:x", "."])
def test_a_relative_target_is_refused_with_a_sentence(target: str) -> None:
    assert f"'{target}'" in sentence(target)


@pytest.mark.parametrize("module", ["no_such_module", "json.nothing", "no_such.package.module", "a b", "json..decoder"])
def test_a_missing_module_is_named(module: str) -> None:
    assert sentence(f"{module}:x") == (
        f"there is no module '{module}' (from '{module}:x') in the current folder, beside models.toml or on "
        "PYTHONPATH; put its folder there, or correct the name"
    )


def test_a_missing_attribute_names_the_nearest() -> None:
    assert sentence("json:dmps") == "module 'json' has no attribute 'dmps'; did you mean 'dumps'?"


def test_a_missing_attribute_with_nothing_near_is_named() -> None:
    assert sentence("json:zzzzzzzz") == "module 'json' has no attribute 'zzzzzzzz'"


def test_a_module_whose_own_import_is_missing_is_not_called_missing(project: Path) -> None:
    (project / "needy_row.py").write_text("import a_package_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        load("needy_row:x")


def test_an_error_within_a_module_is_not_swallowed(project: Path) -> None:
    (project / "failing_row.py").write_text("raise RuntimeError('broken at import')\n")
    with pytest.raises(RuntimeError, match="broken at import"):
        load("failing_row:x")


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("onx", ["onnx", "savedmodel"], "; did you mean 'onnx'?"),
        ("batchsize", ["max_batch_size", "threads"], "; did you mean 'max_batch_size'?"),
        ("zzz", ["onnx"], ""),
        ("onnx", [], ""),
        ("ONNX", ["onnx", "savedmodel"], "; did you mean 'onnx'?"),
    ],
)
def test_nearest_names_what_was_probably_meant(word: str, known: list[str], hint: str) -> None:
    assert nearest(word, known) == hint
