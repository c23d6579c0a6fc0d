"""TorchScript, torch.export and ONNX files as sources; one that runs code of its own when it is read is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_module

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

INPUT = ("--input", "features:float32:batch,4")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    command = [sys.executable, "-m", "tests.e2e.sources", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("file", "words", "route"),
    [
        ("scripted.pt", INPUT, "torch.jit.load"),
        ("exported.pt2", INPUT, "torch.jit.trace"),
        ("external.onnx", (), "onnx2torch"),
        ("pickled.pt", (*INPUT, "--trust"), "torch.jit.trace"),
    ],
)
def test_a_file_of_any_kind_goes_to_every_format(
    sources: Path, tmp_path: Path, file: str, words: tuple[str, ...], route: str
) -> None:
    result = run_module(
        "export", str(sources / file), "--name", "net", "--artifacts", str(tmp_path), *words, timeout=600
    )
    assert result.returncode == 0, result.stderr
    formats = json.loads((tmp_path / "net" / "1" / "manifest.json").read_text())["formats"]
    assert {form: record["status"] for form, record in formats.items()} == dict.fromkeys(
        ("torchscript", "savedmodel", "onnx"), "ok"
    )
    assert route in formats["torchscript"]["route"]


def test_a_pickled_module_is_refused_until_it_is_trusted(sources: Path, tmp_path: Path) -> None:
    words = ["--name", "net", "--artifacts", str(tmp_path), *INPUT]
    result = run_module("export", str(sources / "pickled.pt"), *words, timeout=300)
    assert result.returncode == 2
    assert "a pickled module runs code when it is loaded" in result.stderr
    assert "--trust" in result.stderr
    assert "Traceback" not in result.stderr
