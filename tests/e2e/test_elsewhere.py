"""Our own Triton as somebody else's: declared by its address, proven, loaded and reported over KServe v2 in general."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.endpoints import Endpoint, Endpoints
from contract.files import read_model
from contract.verdict import Report
from contract.workspace import Workspace
from report import words
from tests.conftest import run_module

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MIXED = """
import torch

class Mixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.weight = torch.nn.Parameter(torch.randn(6, 3))

    def forward(self, features, counts):
        return features @ self.weight, counts * 2

def build():
    return Mixed()
"""
MODELS = """
schema_version = 1

[load]
concurrency = [2]
duration_s = 1.0
open_duration_s = 1.0
warmup_s = 0.2
rounds = 1
attempts = 1

[models.mixed]
framework = "pytorch"
source = "mixed:build"
formats = ["torchscript"]
engines = ["triton"]
inputs = [
    { name = "features", dtype = "float32", dims = ["batch", 6], range = [-1, 1] },
    { name = "counts", dtype = "int64", dims = ["batch", 4], range = [0, 1000] },
]
outputs = [
    { name = "scores", dtype = "float32", dims = ["batch", 3] },
    { name = "doubled", dtype = "int64", dims = ["batch", 4] },
]
slo = { rate = 20 }
"""
ELSEWHERE = """
[[models.mixed.elsewhere]]
address = "{http}"
name = "mixed__torchscript"
format = "torchscript"

[[models.mixed.elsewhere]]
address = "{grpc}"
protocol = "grpc"
name = "mixed__torchscript"
version = "1"
format = "torchscript"
"""


def flags(place: Workspace) -> list[str]:
    return ["--config", str(place.root / "models.toml"), "--workspace", str(place.root)]


def done(place: Workspace, *command: str) -> str:
    """What a command prints that ends well."""
    result = run_module(*command, *flags(place))
    assert result.returncode == 0, result.stderr
    return result.stdout


def endpoints(place: Workspace) -> list[Endpoint]:
    return list(read_model(place.endpoints, Endpoints, "serving").endpoints)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Where the server is started that is somebody else's for the tests."""
    place = Workspace(tmp_path_factory.mktemp("theirs"))
    (place.root / "mixed.py").write_text(MIXED)
    (place.root / "models.toml").write_text(MODELS)
    try:
        done(place, "export")
        done(place, "serving", "up")
        yield place
    finally:
        run_module("serving", "stop", *flags(place))


def test_a_server_of_somebody_else_is_proven_loaded_and_reported(theirs: Workspace, tmp_path: Path) -> None:
    ours = Workspace(tmp_path)
    shutil.copytree(theirs.artifacts, ours.artifacts)
    addresses = {item.protocol: item.address for item in endpoints(theirs)}
    models = MODELS.replace('engines = ["triton"]', "serve = []") + ELSEWHERE.format(**addresses)
    (ours.root / "models.toml").write_text(models)

    done(ours, "serving", "up")
    found = endpoints(ours)
    assert [item.id for item in found] == ["mixed__torchscript__kserve__http", "mixed__torchscript__kserve__grpc"]
    assert {item.engine_version for item in found} == {f"triton {endpoints(theirs)[0].engine_version}"}
    assert {item.parity_endpoint.passed for item in found} == {True}

    results = Path(done(ours, "loadtest").strip())
    run_module("report", "--workspace", str(ours.root))  # its exit code is the verdict of two seconds of load
    report = read_model(ours.reports / results.name / "report.json", Report, "report")
    assert [item.id for item in report.variants] == [item.id for item in found]
    for item in report.variants:
        assert words.engine(item) == f"KServe v2 ({found[0].engine_version})"
        assert [stage.name for stage in item.stages] == ["closed-2", "open-20"]
        for stage in item.stages:
            assert stage.requests > 0
            assert (stage.errors, stage.wrong_answers) == ({}, 0)
            assert stage.answers_checked > 0
            assert stage.server_side is not None and "runs elsewhere" in stage.server_side.absent["memory"]

    done(ours, "serving", "stop")
    assert "ready  mixed__torchscript__triton__http" in done(theirs, "serving", "status")
    assert [item.address for item in endpoints(theirs)] == [item.address for item in found]
