"""An export that does not agree is recorded with its reason and is not served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_module

pytestmark = [pytest.mark.e2e]

CONFIG = """
schema_version = 1
[models.fickle]
framework = "pytorch"
source = "fickle:build"
formats = ["torchscript", "savedmodel"]
inputs = [{ name = "values", dtype = "float32", dims = ["batch", 4] }]
outputs = [{ name = "scores", dtype = "float32", dims = ["batch", 2] }]
"""


def test_a_model_that_no_export_agrees_with_is_recorded_and_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "e2e" / "fickle.py", tmp_path)
    config = tmp_path / "models.toml"
    config.write_text(CONFIG)
    result = run_module("export", "--config", str(config), "--workspace", str(tmp_path))
    assert result.returncode == 5, result.stderr
    record = json.loads((tmp_path / "artifacts" / "fickle" / "1" / "manifest.json").read_text())["formats"]
    assert record["torchscript"]["status"].startswith("failed: ")
    assert "out of tolerance" in record["torchscript"]["status"]
    assert record["savedmodel"]["status"].startswith("unsupported: ")
    served = run_module("serving", "up", "--config", str(config), "--workspace", str(tmp_path))
    assert served.returncode == 2
    assert "may be served" in served.stderr
    assert not (tmp_path / "live" / "servers.json").exists()
