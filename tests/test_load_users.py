"""Our users in somebody's own Locust file: the real Locust, against a server with a known answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.known_latency import known_latency

pytestmark = [pytest.mark.e2e]

MINE = """
from locust import constant, task
from loadtest.users import TritonHttpUser

class Plain(TritonHttpUser):
    host = "{host}"
    payloads = "{payloads}"
    wait_time = constant(0.01)

class WithATask(Plain):
    @task
    def mine(self):
        assert self.infer(self.requests[0], name="mine").status == 200
"""


def run(folder: Path, text: str) -> dict[str, dict[str, Any]]:
    """Run Locust with a Locust file; its final statistics by name."""
    (folder / "mine.py").write_text(text)
    command = [sys.executable, "-m", "locust", "-f", str(folder / "mine.py"), "--headless", "--users", "2", "--json"]
    command += ["--spawn-rate", "10", "--run-time", "2s", "--exit-code-on-error", "0"]
    ended = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return {row["name"]: row for row in json.loads(ended.stdout)}


def test_users_send_golden_requests_and_locust_counts_them(tmp_path: Path) -> None:
    with known_latency(tmp_path, 5.0) as known:
        payloads = tmp_path / "live/payloads/triton/words__onnx/http"
        rows = run(tmp_path, MINE.format(host=f"http://127.0.0.1:{known.port}", payloads=payloads))
        answered = len(known.ask("seen")["times"])
    assert rows.keys() == {"words__onnx", "mine"}
    counted = sum(row["num_requests"] for row in rows.values())
    assert counted > 20
    assert 0 <= answered - counted <= 2  # Locust ends its two users in the middle of a request
    assert sum(row["num_failures"] for row in rows.values()) == 0
    assert 5.0 <= rows["mine"]["min_response_time"] < 30.0


def test_a_server_that_is_not_there_is_a_class_of_failure_and_no_exception(tmp_path: Path) -> None:
    with known_latency(tmp_path, 5.0):
        pass
    payloads = tmp_path / "live/payloads/triton/words__onnx/http"
    rows = run(tmp_path, MINE.format(host="127.0.0.1:1", payloads=payloads).split("class WithATask")[0])
    assert rows["words__onnx"]["num_failures"] == rows["words__onnx"]["num_requests"] > 5


def test_a_user_without_payloads_says_what_it_needs(tmp_path: Path) -> None:
    text = "from loadtest.users import TritonHttpUser\nclass Mine(TritonHttpUser):\n    host = 'x:1'\n"
    (tmp_path / "mine.py").write_text(text)
    command = [sys.executable, "-m", "locust", "-f", str(tmp_path / "mine.py"), "--headless", "--users", "1"]
    ended = subprocess.run(
        [*command, "--run-time", "1s"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Mine needs host" in ended.stderr
