"""Several inputs and outputs, booleans, half precision, strings, states, scalars: proven, or refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, run_module

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = """
schema_version = 1

[models.mixed]
framework = "pytorch"
source = "kinds:mixed"
formats = ["torchscript", "savedmodel", "onnx"]
inputs = [
    { name = "values", dtype = "float32", dims = ["batch", "length"] },
    { name = "mask", dtype = "bool", dims = ["batch", "length"] },
    { name = "scale", dtype = "float16", dims = ["batch", 1] },
]
outputs = [
    { name = "total", dtype = "float32", dims = ["batch", 1] },
    { name = "large", dtype = "bool", dims = ["batch", "length"] },
]

[models.stateful]
framework = "pytorch"
source = "kinds:stateful"
formats = ["torchscript", "savedmodel", "onnx"]
inputs = [
    { name = "x", dtype = "float32", dims = ["batch", 3] },
    { name = "state", dtype = "float32", dims = [2, "batch", 5] },
    { name = "gain", dtype = "int64", dims = [], range = [1, 3] },
]

[models.words]
framework = "tensorflow"
source = "kinds:words"
formats = ["torchscript", "savedmodel", "onnx"]
inputs = [{ name = "text", dtype = "string", dims = ["batch"] }]
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinds")
    shutil.copy(ROOT / "tests" / "e2e" / "kinds.py", root)
    (root / "models.toml").write_text(CONFIG)
    result = run_module("export", "--config", str(root / "models.toml"), "--workspace", str(root), timeout=900)
    assert result.returncode == 0, result.stderr
    return root


def manifest(root: Path, model: str) -> Any:
    return json.loads((root / "artifacts" / model / "1" / "manifest.json").read_text())


@pytest.mark.parametrize("model", ["mixed", "stateful"])
@pytest.mark.parametrize("form", ["torchscript", "savedmodel", "onnx"])
def test_numbers_of_every_kind_are_proven_in_every_format(exported: Path, model: str, form: str) -> None:
    record = manifest(exported, model)["formats"][form]
    assert record["status"] == "ok"
    assert record["parity"]["requests"] == 48


def test_strings_are_proven_in_a_savedmodel_and_refused_elsewhere_in_the_converter_s_words(exported: Path) -> None:
    formats = manifest(exported, "words")["formats"]
    assert formats["savedmodel"]["status"] == "ok"
    for form in ("onnx", "torchscript"):
        assert formats[form]["status"].startswith(("unsupported: ", "failed: "))
        assert len(formats[form]["status"]) > 30


def test_what_was_not_declared_is_read_from_the_answers(exported: Path) -> None:
    outputs = {spec["name"]: spec for spec in manifest(exported, "words")["outputs"]}
    assert outputs["length"] == {"name": "length", "dtype": "int32", "dims": ["batch"], "range": None}
    assert outputs["lower"]["dtype"] == "string"
    assert [spec["dims"] for spec in manifest(exported, "stateful")["outputs"]] == [["batch", 1], [2, "batch", 5]]


def test_a_model_without_a_common_first_axis_is_not_served_and_says_why(exported: Path) -> None:
    words = ["--config", str(exported / "models.toml"), "--workspace", str(exported)]
    result = run_module("serving", "repository", *words)
    assert result.returncode == 0
    assert "not served: stateful onnx: its tensors do not share a named first axis" in result.stderr
