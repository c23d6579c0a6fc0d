"""A factory of one's own, in a folder that is neither the checkout nor that of the models.toml that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.manifest import MANIFEST, Manifest
from tests.conftest import run_module

pytestmark = [pytest.mark.e2e]

NET = """\
import torch


def build():
    torch.manual_seed(1)
    return torch.nn.Linear(3, 2)
"""


def test_a_factory_that_is_named_by_its_file_is_exported_and_proven(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "churn_net.py").write_text(NET)
    words = ["--framework", "pytorch", "--name", "churn", "--artifacts", str(tmp_path / "artifacts")]
    words += ["--input", "input:float32:batch,3", "--formats", "torchscript"]
    result = run_module("export", f"{tmp_path}/own/churn_net.py:build", *words)
    assert result.returncode == 0, result.stderr
    written = tmp_path / "artifacts" / "churn" / "models.toml"
    assert f"wrote {written}" in result.stderr.splitlines()[-1] and written.is_file()
    manifest = Manifest.model_validate_json((tmp_path / "artifacts" / "churn" / "1" / MANIFEST).read_text())
    record = manifest.formats["torchscript"]
    assert record.status == "ok"
    assert all(f"--code {tmp_path}/own" in line for line in record.reproduce if "verify" not in line)


def test_a_module_that_is_found_nowhere_is_named_with_the_places_and_nothing_is_left(tmp_path: Path) -> None:
    words = ["--framework", "pytorch", "--name", "churn", "--artifacts", str(tmp_path / "artifacts")]
    result = run_module("export", "no_such_churn:build", *words, "--input", "input:float32:batch,3")
    assert result.returncode != 0
    assert "no module 'no_such_churn'" in result.stderr and "in the current folder" in result.stderr
    assert "wrote" not in result.stderr
    assert list(tmp_path.glob("artifacts/*")) == []


def test_a_factory_whose_file_is_called_like_a_package_of_the_project_is_the_one_that_is_exported(
    tmp_path: Path,
) -> None:
    (tmp_path / "report.py").write_text(NET)
    words = ["--framework", "pytorch", "--name", "churn", "--artifacts", str(tmp_path / "artifacts")]
    words += ["--input", "input:float32:batch,3", "--formats", "torchscript"]
    result = run_module("export", f"{tmp_path}/report.py:build", *words)
    assert result.returncode == 0, result.stderr
    manifest = Manifest.model_validate_json((tmp_path / "artifacts" / "churn" / "1" / MANIFEST).read_text())
    assert manifest.formats["torchscript"].status == "ok"
