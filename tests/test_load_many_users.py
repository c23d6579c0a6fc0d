"""A closed loop of many hundred users: all of them are there when the stage begins, in one load process and in two."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from contract.files import read_model
from contract.records import Observation, read_records
from tests.conftest import ROOT
from tests.known_latency import VARIANT, known_latency

pytestmark = [pytest.mark.e2e]

USERS = 700
DELAY_MS = 400.0  # so that so many users ask a server of threads for no more than it can


@pytest.mark.parametrize("processes", [1, 2])
def test_none_of_many_users_is_lost(tmp_path: Path, processes: int) -> None:
    with known_latency(tmp_path, DELAY_MS) as known:
        known.configure(concurrency=[USERS], closed_s=2.0, open_s=0.5, rate=20.0)
        toml = tmp_path / "models.toml"
        toml.write_text(toml.read_text().replace("[load]", f"[load]\nprocesses = {processes}"))
        ended = subprocess.run(known.command(), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stderr
        seen = read_model(known.newest() / f"server-stats-{VARIANT}.json", Observation, "make loadtest")
        assert [(stage.workers, stage.lost) for stage in seen.stages] == [(processes, []), (processes, [])]
        records = read_records(known.newest(), VARIANT).to_pylist()
        assert len([row for row in records if row["stage"] == 0]) >= USERS
        assert "spawn rate is very high" not in (known.newest() / "locust.log").read_text()
