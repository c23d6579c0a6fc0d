"""Hosts beyond this machine: every command that loads refuses one that nobody allowed, in the same words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract.files import write_json
from serving.proof.payloads import write_payloads
from tests.builders import endpoint, endpoints, examples, served, workspace
from tests.conftest import ROOT
from tests.fake_kubectl import Cluster
from tests.known_latency import TOML

pytestmark = [pytest.mark.e2e]

AWAY = endpoint(address="triton.example:8000")
REFUSAL = (
    "error: triton.example:8000 is beyond this machine, and load is an attack where nobody expects it; "
    "if you may put it under load, say so with --allow-host triton.example"
)
LOADING = {
    "loadtest": ["loadtest", "--uncertified"],
    "certify": ["loadtest", "certify"],
    "search": ["tune", "search", "--uncertified"],
    "scale": ["tune", "scale", AWAY.id, "--deployment", "loadproof/triton", "--replicas", "1..2"],
}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A workspace whose only endpoint is elsewhere, and a kubectl that writes down what it is told."""
    place = workspace(tmp_path)
    write_payloads(served(place), "http", examples(), place.live)
    write_json(place.endpoints, endpoints(AWAY, servers=[]))
    (tmp_path / "models.toml").write_text(TOML.format(concurrency=[1], closed_s=1.0, open_s=1.0, rate=50.0))
    return Cluster(tmp_path)


def run(root: Path, cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """``python -m words…`` as a person types it."""
    command = [sys.executable, "-m", *words, "--workspace", str(root), "--config", str(root / "models.toml")]
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": cluster.path}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", LOADING)
def test_a_host_that_nobody_allowed_is_refused_before_anything_is_planned_sent_or_scaled(
    tmp_path: Path, cluster: Cluster, command: str
) -> None:
    done = run(tmp_path, cluster, *LOADING[command])
    assert (done.returncode, done.stderr.strip()) == (2, REFUSAL)
    assert not (tmp_path / "results").exists() and not (tmp_path / "certificates").exists()
    assert cluster["told"] == []


@pytest.mark.parametrize("command", ["loadtest", "search", "scale"])
def test_a_host_that_is_allowed_gets_nothing_without_a_ceiling(tmp_path: Path, cluster: Cluster, command: str) -> None:
    done = run(tmp_path, cluster, *LOADING[command], "--allow-host", "triton.example")
    assert done.returncode == 2
    assert "beyond this machine: say with --max-rps how many requests per second it may get" in done.stderr
    assert not (tmp_path / "results").exists()
    assert cluster["told"] == []
