"""Exports that are broken on purpose, one in each way: each is caught, and by the name of what is wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_module

pytestmark = [pytest.mark.e2e]


def _made(framework: str, root: Path) -> dict[str, Any]:
    result = run_module("tests.e2e.broken_exports", framework, str(root))
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def with_torch(root: Path) -> dict[str, Any]:
    return _made("torch", root)


@pytest.fixture(scope="module")
def with_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _made("tensorflow", tmp_path_factory.mktemp("broken_savedmodels"))


@pytest.mark.parametrize("name", ["nothing", "ONNX: nothing", "ONNX: strings"])
def test_what_is_not_broken_is_proven(with_torch: dict[str, Any], name: str) -> None:
    assert with_torch[name] == {"passed": True, "diagnosis": None, "sentence": None}


@pytest.mark.parametrize(
    ("how", "name", "evidence"),
    [
        ("wrong weight", "wrong values", "'left' is out of tolerance"),
        ("one wrong word", "wrong values", "out of tolerance"),
        ("NaN", "not a number", "of 'right' where the trained model is finite"),
        ("swapped outputs", "swapped outputs", "'right' stands in the place of 'left'"),
        ("wrong dtype", "wrong dtype", "dtype of 'left' is float64, expected float32"),
        ("wrong shape", "wrong shape", "expected ["),
        ("a batch without rows", "wrong shape", "shape of 'left' is []"),
        ("an output too many", "wrong signature", "3 outputs, declared are 2"),
        ("truncated file", "unreadable file", "zip archive"),
        ("frozen length", "frozen dimension", "right only where 'length' is "),
        ("frozen length, padding declared", "frozen dimension", "right only where 'length' is "),
        ("frozen batch", "frozen dimension", "right only where 'batch' is "),
        ("frozen control flow", "frozen control flow", "agrees on the traced request"),
        ("ONNX: renamed input", "wrong signature", "inputs are words, declared are tokens"),
        ("ONNX: renamed output", "wrong signature", "outputs are links, right, declared are left, right"),
        ("ONNX: fixed length", "frozen dimension", "axis 1 of 'tokens' is 7 in the artifact, 'length' should be"),
        ("ONNX: wrong dtype", "wrong dtype", "dtype of 'left' in the artifact is float64"),
        ("ONNX: swapped outputs", "swapped outputs", "'right' stands in the place of 'left'"),
        ("ONNX: wrong weight", "wrong values", "'left' is out of tolerance"),
        ("ONNX: NaN", "not a number", "of 'left' where the trained model is finite"),
        ("ONNX: truncated file", "unreadable file", "parse"),
    ],
)
def test_a_broken_torchscript_or_onnx_file_is_caught_by_the_name_of_its_defect(
    with_torch: dict[str, Any], how: str, name: str, evidence: str
) -> None:
    found = with_torch[how]
    assert (found["passed"], found["diagnosis"]) == (False, name), found
    assert evidence in found["sentence"]


def test_a_request_that_torchscript_refuses_says_what_went_wrong_and_not_only_that_something_did(
    with_torch: dict[str, Any],
) -> None:
    sentence = with_torch["frozen length"]["sentence"]
    assert "out of range" in sentence, sentence  # of the index of the first step that is not there


@pytest.mark.parametrize(
    ("how", "name", "evidence"),
    [
        ("swapped outputs", "swapped outputs", "'right' stands in the place of 'left'"),
        ("NaN", "not a number", "of 'left' where the trained model is finite"),
        ("fixed length", "frozen dimension", "axis 1 of 'tokens' is 7 in the artifact"),
        ("truncated file", "unreadable file", "SavedModel"),
    ],
)
def test_a_broken_savedmodel_is_caught_by_the_name_of_its_defect(
    with_tensorflow: dict[str, Any], how: str, name: str, evidence: str
) -> None:
    assert with_tensorflow["SavedModel: nothing"]["passed"]
    found = with_tensorflow[f"SavedModel: {how}"]
    assert (found["passed"], found["diagnosis"]) == (False, name), found
    assert evidence in found["sentence"]


def test_a_savedmodel_of_today_leads_to_an_onnx_file_of_onnx_operators(with_tensorflow: dict[str, Any]) -> None:
    """Its graph is a call of a function, which has to be drawn in: ONNX Runtime knows no PartitionedCall."""
    operators = with_tensorflow["SavedModel: as ONNX"]
    assert "MatMul" in operators, operators
    assert [name for name in operators if "PartitionedCall" in name] == []


def test_an_intact_version_is_proven_again(with_torch: dict[str, Any], root: Path) -> None:
    result = run_module("export", "verify", str(root / "published"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "heads torchscript: proven again" in result.stdout


def test_a_flipped_byte_is_found_by_verify(with_torch: dict[str, Any], root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "published", tmp_path / "flipped")
    file = tmp_path / "flipped" / "heads" / "1" / "model.pt"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    result = run_module("export", "verify", str(tmp_path / "flipped"))
    assert result.returncode == 5
    assert f"{file} is not what its manifest says" in result.stdout
    assert "make export" in result.stderr
