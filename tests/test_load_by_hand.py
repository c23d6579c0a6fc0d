"""Locust started by hand with our file: what cannot be measured is said in a sentence, with our exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.files import write_json
from tests.builders import endpoint, endpoints, free_port
from tests.conftest import ROOT

pytestmark = [pytest.mark.e2e]


def locust(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("headless", [True, False], ids=["headless", "with its page"])
def test_where_nothing_is_served_it_says_so_and_what_to_do(tmp_path: Path, headless: bool) -> None:
    ended = locust(tmp_path, *(["--headless"] if headless else ["--web-port", str(free_port())]))
    assert ended.returncode == 2, ended.stderr
    assert "make serve" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_host_beyond_this_machine_is_for_the_command_that_can_be_told_so(tmp_path: Path) -> None:
    write_json(tmp_path / "live" / "endpoints.json", endpoints(endpoint(address="models.example.com:8000")))
    (tmp_path / "models.toml").write_text((ROOT / "models.toml").read_text())
    ended = locust(tmp_path, "--headless")
    assert ended.returncode == 2, ended.stderr
    assert "say so with python -m loadtest --allow-host models.example.com" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "results").exists()
