"""The embedded TF Serving is killed in the midst of a load test, which records the outage as errors and goes on.

Both tests of this file kill the same server, the second after it was brought back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, run_module
from tests.open_loop import wait_for
from tests.stage import KERAS_ON_TFSERVING, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"""
schema_version = 1
target = "26.08"

[load]
concurrency = [2]
duration_s = 4.0
open_duration_s = 6.0
warmup_s = 0.2
rounds = 1
attempts = 1
{KERAS_ON_TFSERVING}"""
BEGINS_S, ENDS_S, BACK_S = 60.0, 180.0, 120.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Stage]:
    with served_on(Stage(tmp_path_factory.mktemp("outage")), copy_zoo, MODELS) as stage:
        yield stage


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_load_test_records_the_outage_of_the_embedded_server_as_errors_and_goes_on(
    stage: Stage, protocol: str
) -> None:
    before = len(stage.events())
    command = [sys.executable, "-m", "loadtest", *stage.flags, "--uncertified"]
    command += ["--variant", f"keras__savedmodel__tfserving__{protocol}"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert wait_for((stage.root / "results" / "latest" / ".progress.json").exists, BEGINS_S)
        time.sleep(2.0)  # in the midst of the load
        (server,) = json.loads(stage.workspace.servers.read_text())["servers"]
        os.kill(server["pid"], signal.SIGKILL)
        _, errors = running.communicate(timeout=ENDS_S)
    finally:
        running.kill()
    assert running.returncode == 0, errors
    assert wait_for(lambda: len(stage.events()) > before + 1, BACK_S), "not brought back"
    died, again = stage.events()[before:]
    assert (died.what, died.engine, again.what, again.engine) == ("died", "tfserving", "restarted", "tfserving")
    result = run_module("report", "--workspace", str(stage.root))
    assert result.returncode == 0, result.stderr
    report: Any = json.loads((stage.root / "reports/latest/report.json").read_text())
    (variant,) = report["variants"]
    assert variant["complete"]
    assert len(variant["stages"]) == 2, "it went on to the last stage"
    assert sum(sum(item["errors"].values()) for item in variant["stages"]) > 0
    assert all(item["wrong_answers"] == 0 for item in variant["stages"])
    assert any(died.detail in sentence for sentence in report["warnings"])
