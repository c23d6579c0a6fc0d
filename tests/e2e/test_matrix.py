"""The whole zoo to every format: the matrix that the documentation promises, and why a cell is not ok."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.files import sha256_tree
from tests.conftest import ROOT, run_module

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FORMATS = ("torchscript", "savedmodel", "onnx")
OPTIONAL = "transformer"  # real pre-trained weights of 90 MB
MODELS = {
    name: model
    for name, model in tomllib.loads((ROOT / "models.toml").read_text())["models"].items()
    if model.get("group") != OPTIONAL
}
# What no converter can do: a loop that depends on the data, from TensorFlow to TorchScript.
NOT_EVERYWHERE = {("adaptive_tensorflow", "torchscript")}
OWN = {"pytorch": "torchscript", "keras": "savedmodel", "tensorflow": "savedmodel"}


@dataclass(frozen=True)
class Matrix:
    """A workspace with every model exported."""

    root: Path

    def record(self, model: str, form: str) -> dict[str, Any]:
        folder = self.root / "artifacts" / model / "1"
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["formats"][form]
        return found


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, whole_zoo: Path) -> Matrix:
    root = tmp_path_factory.mktemp("matrix")
    shutil.copytree(whole_zoo, root / "zoo" / "out")
    text = (ROOT / "models.toml").read_text()
    head, *tables = text.split("\n[models.")
    kept = [table for table in tables if f'group = "{OPTIONAL}"' not in table and "minilm" not in table.split("]")[0]]
    short = "concurrency = [2]\nduration_s = 0.5\nopen_duration_s = 1.0\nwarmup_s = 0.1\nrounds = 1\nattempts = 1\n"
    head = f"{head.partition('[load]')[0]}[load]\n{short}"
    (root / "models.toml").write_text("\n[models.".join([head, *kept]))
    words = ["export", "--config", str(root / "models.toml"), "--workspace", str(root), "--group", "all"]
    result = run_module(*words, timeout=3000)
    assert result.returncode == 0, result.stderr
    return Matrix(root)


@pytest.mark.parametrize(("model", "form"), [(model, form) for model, row in MODELS.items() for form in row["formats"]])
def test_every_model_is_proven_in_every_format_that_a_converter_can_make(matrix: Matrix, model: str, form: str) -> None:
    record = matrix.record(model, form)
    if (model, form) in NOT_EVERYWHERE:
        assert record["status"].startswith("unsupported: onnx2torch: NotImplementedError: Converter is not implemented")
        return
    assert record["status"] == "ok"
    assert all(check["passed"] for check in record["checks"])
    names = [check["name"] for check in record["checks"]]
    assert names[:2] == ["signature", "golden"]
    assert {"batch invariance", "decisions"} <= set(names)
    if "tokens" in str(MODELS[model]["inputs"]):
        assert {"padding invariance", "extreme values"} <= set(names)


@pytest.mark.parametrize("model", list(MODELS))
def test_an_export_decides_as_the_trained_model_does(matrix: Matrix, model: str) -> None:
    for form in MODELS[model]["formats"]:
        decisions = matrix.record(model, form)["decisions"]
        if decisions is None:
            assert (model, form) in NOT_EVERYWHERE
            continue
        assert decisions["rows"] >= 100
        assert decisions["agreement"] >= 0.99
        assert abs(decisions["accuracy"] - decisions["accuracy_trained"]) <= 0.01


@pytest.mark.parametrize("model", list(MODELS))
def test_the_framework_s_own_format_is_reached_by_its_own_route(matrix: Matrix, model: str) -> None:
    record = matrix.record(model, OWN[MODELS[model]["framework"]])
    assert record["attempts"] == []
    assert "onnx" not in record["route"]


def test_a_keras_model_goes_to_torchscript_through_its_torch_backend(matrix: Matrix) -> None:
    for model in ("sentiment_keras", "recurrent_keras", "digits_keras"):
        assert "torch backend" in matrix.record(model, "torchscript")["route"]


def test_the_loop_that_depends_on_the_data_is_kept(matrix: Matrix) -> None:
    assert matrix.record("adaptive_torch", "torchscript")["facts"]["control_flow"].count("loop") == 1
    assert matrix.record("adaptive_torch", "torchscript")["route"] == "torch.jit.script"


def test_the_same_network_written_six_times_is_comparably_accurate(matrix: Matrix) -> None:
    accuracy = {
        model: matrix.record(model, "onnx")["decisions"]["accuracy"]
        for model in MODELS
        if model.startswith("sentiment_")
    }
    assert len(accuracy) == 6
    assert max(accuracy.values()) - min(accuracy.values()) < 0.06


def test_a_matrix_of_all_is_shown_and_can_be_proven_again(matrix: Matrix) -> None:
    shown = run_module("export", "show", str(matrix.root / "artifacts"))
    assert shown.returncode == 0
    rows = [
        line.split()[:3] for line in shown.stdout.splitlines()[1:] if line.split()[2:3] and line.split()[2] in FORMATS
    ]
    assert {(row[0], row[2]) for row in rows} == {(model, form) for model in MODELS for form in FORMATS}
    again = run_module("export", "verify", str(matrix.root / "artifacts" / "digits_torch"))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("proven again") == len(MODELS["digits_torch"]["formats"])


def test_exporting_again_changes_nothing(matrix: Matrix) -> None:
    before = sha256_tree(matrix.root / "artifacts")
    words = ["--config", str(matrix.root / "models.toml"), "--workspace", str(matrix.root), "--group", "all"]
    result = run_module("export", *words)
    assert result.stderr.count("is up to date") == len(MODELS)
    assert sha256_tree(matrix.root / "artifacts") == before


def test_models_that_triton_holds_one_at_a_time_are_each_a_row_of_the_report(matrix: Matrix) -> None:
    words = ["--config", str(matrix.root / "models.toml"), "--workspace", str(matrix.root), "--group", "control"]
    try:
        up = run_module("serving", "up", *words, "--one-at-a-time", timeout=900)
        assert up.returncode == 0, up.stderr
        loaded = run_module("loadtest", *words, timeout=900)
        assert loaded.returncode == 0, loaded.stderr
        assert loaded.stderr.count("loading adaptive_") >= 2
        judged = run_module("report", "--workspace", str(matrix.root))
        assert judged.returncode == 0, judged.stderr
    finally:
        run_module("serving", "stop", *words)
    report = json.loads((matrix.root / "reports" / "latest" / "report.json").read_text())
    rows = {(variant["model"], variant["format"], variant["engine"]) for variant in report["variants"]}
    assert {(model, "savedmodel", "triton") for model in ("adaptive_torch", "adaptive_tensorflow")} <= rows
    assert ("adaptive_torch", "torchscript", "triton") in rows
    for variant in report["variants"]:
        assert variant["parity"]["engine"]["passed"]
        assert sum(stage["wrong_answers"] for stage in variant["stages"]) == 0
    assert any("one model at a time" in warning for warning in report["warnings"])
