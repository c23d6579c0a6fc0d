"""ONNX graphs in TensorFlow give ONNX Runtime's answers, at sizes that no exporter has seen.

Every test reads the answers of a child process: torch and TensorFlow share none, and pytest imports neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.onnx_tensorflow_cases import CASES
from tests.onnx_tensorflow_texts import TEXTS

ROOT = Path(__file__).parents[1]
LARGEST = 1e-5  # relative to answers above 1
# One worker runs a child once, instead of each worker once.

# The definition takes the scaled size of an axis with its fraction; ONNX Runtime, whose answers are wanted, does not.
DEFINED_OTHERWISE = {
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
}


def child(module: str, *words: str) -> Any:
    """What a module of this folder prints, as JSON."""
    quiet = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", f"tests.{module}", *words]
    result = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.strip().splitlines()[-1]) if result.stdout.strip() else None


def written(exporter: str, folder: Path) -> str:
    """Networks as one of torch's exporters writes them."""
    child("onnx_tensorflow_torch", exporter, str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Everything that takes little time, in one process: TensorFlow's own start is most of it."""
    return child("onnx_tensorflow_child", written("legacy", tmp_path_factory.mktemp("legacy")), "refusals", "operators")


@pytest.fixture(scope="module")
def operators(answers: Any) -> Any:
    return answers["operators"]


@pytest.fixture(scope="module")
def refusals(answers: Any) -> Any:
    return answers["refusals"]


@pytest.fixture(scope="module")
def legacy(answers: Any) -> Any:
    return answers["graphs"]


@pytest.fixture(scope="module")
def thorough(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return child("onnx_tensorflow_child", written("modern", tmp_path_factory.mktemp("modern")), "oracle")


@pytest.mark.parametrize("name", [*(case.name for case in CASES), *TEXTS])
def test_an_operator_answers_as_onnx_runtime_does(operators: Any, name: str) -> None:
    outcome = operators["results"][name]
    assert "error" not in outcome, outcome["error"]
    assert outcome["difference"] <= LARGEST


def test_every_operator_has_a_case(operators: Any) -> None:
    tried = {case.op for case in CASES} | {"If", "Loop", "Scan"}
    assert set(operators["known"]) - tried == set()


@pytest.mark.parametrize("name", ["text_legacy", "convolutions_legacy", "rounds_legacy"])
def test_a_network_answers_the_same_out_of_a_savedmodel_at_any_size(legacy: Any, name: str) -> None:
    assert max(legacy[name]["differences"]) <= LARGEST
    assert legacy[name]["shape"][0] is None


def test_the_weights_of_a_network_are_the_savedmodels_variables(legacy: Any) -> None:
    assert legacy["text_legacy"]["variables"] > 0
    assert legacy["convolutions_legacy"]["variables"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text", "encoder", "convolutions"])
def test_what_torch_export_writes_answers_the_same_out_of_a_savedmodel(thorough: Any, name: str) -> None:
    assert max(thorough["graphs"][name]["differences"]) <= LARGEST
    assert thorough["graphs"][name]["shape"][0] is None


@pytest.mark.slow
def test_the_definitions_own_tests_of_all_known_operators_pass(thorough: Any) -> None:
    outcome = thorough["oracle"]
    assert set(outcome["failed"]) == DEFINED_OTHERWISE, outcome["failed"]
    assert len(outcome["passed"]) > 1000


def test_unknown_operators_are_named_all_at_once_before_anything_is_built(refusals: Any) -> None:
    sentence = refusals["unknown"]
    for part in (
        "com.acme/Fancy (opset 2) is unknown",
        "ai.onnx/StringNormalizer (opset 17) is unknown",
        "BatchNormalization (opset 17) in training mode",
    ):
        assert sentence.count(part) == 1


def test_an_opset_before_broadcasting_is_refused(refusals: Any) -> None:
    assert "opset 6" in refusals["old"]


def test_the_models_own_functions_are_spelled_out(refusals: Any) -> None:
    assert refusals["function"] == [[2.0] * 3] * 2


def test_arithmetic_on_the_known_part_of_a_shape_is_done_while_building(refusals: Any) -> None:
    assert refusals["shape"] == [None, 2, 3]


def test_large_weights_are_variables_that_do_not_train_even_from_a_file_beside(refusals: Any) -> None:
    assert list(refusals["variables"].values()) == [[16, 8]]
    assert refusals["trainable"] == 0
    assert refusals["sum"] == 2 * 8 * 17


def test_the_module_says_what_it_takes_and_gives(refusals: Any) -> None:
    assert refusals["inputs"] == [["x", "float32", ["n", 16]]]
    assert refusals["outputs"] == [["y", "float32", ["n", 8]]]
