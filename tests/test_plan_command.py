"""The plan of a run holds what was typed, so that the report can tell it and nothing is guessed from the records."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.config import read_config
from contract.endpoints import Endpoints
from contract.files import read_model
from contract.records import Plan
from contract.workspace import Workspace
from tests.builders import wait_until
from tests.conftest import ROOT
from tests.null_latency import Nulled, null_latency
from tune.configuration.trial_run import trial_run
from tune.scale.run import scale_run

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def nulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nulled]:
    with null_latency(tmp_path_factory.mktemp("null"), "http", "--delay-ms", "5") as running:
        running.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0)
        yield running


@pytest.mark.parametrize("name", [["loadtest"], ["tune", "search"]])
def test_the_plan_says_what_was_typed(nulled: Nulled, name: list[str]) -> None:
    known = set(plans(nulled))
    words = [*name, "--uncertified", "--max-rps=80", "--allow-host", "gpu.lan", "--variant", nulled.endpoint.id]
    words += ["--workspace", str(nulled.root), "--config", str(nulled.root / "models.toml")]
    with subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        planned = wait_until(lambda: bool(set(plans(nulled)) - known), 30)
        running.send_signal(signal.SIGINT)  # all that is asked for is written before the first request
        _, told = running.communicate(timeout=60)
    assert planned, told
    (file,) = set(plans(nulled)) - known
    assert read_model(file, Plan, "make loadtest").command == ["python", "-m", *words]


def test_the_runs_of_climbs_and_curves_say_it_too(nulled: Nulled) -> None:
    workspace = Workspace(nulled.root)
    config = read_config(nulled.root / "models.toml")
    known = read_model(workspace.endpoints, Endpoints, "make serve")
    typed = ["python", "-m", "tune", "any", "words"]
    with trial_run(config, workspace, known, [nulled.endpoint], "configure", typed) as climb:
        pass
    with scale_run(config, workspace, known, nulled.endpoint, [], typed) as curve:
        pass
    for run in (climb, curve):
        assert read_model(run.results / "plan.json", Plan, "python -m tune").command == typed


def plans(nulled: Nulled) -> list[Path]:
    return [file for file in (nulled.root / "results").glob("2*/plan.json") if not file.parent.is_symlink()]
