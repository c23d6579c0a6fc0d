"""A load process on another machine joins a run of endpoints on 127.0.0.1: nothing is sent, and the run ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import free_port
from tests.conftest import ROOT
from tests.known_latency import known_latency

pytestmark = [pytest.mark.e2e]

# Locust's own command with our Locust file, as `python -m loadtest worker` starts it; but it says that another system
# was booted where it runs, as one on another machine would.
ELSEWHERE = """
from locust.main import main
from loadtest.process import orders
from loadtest.master import reach

orders.clock = reach.clock = lambda: "another boot"
main()
"""


def test_where_one_load_process_is_on_another_machine_nothing_is_sent_to_loopback_and_the_run_says_why(
    tmp_path: Path,
) -> None:
    port = free_port()
    with known_latency(tmp_path, 3.0) as known:
        known.configure(concurrency=[2], closed_s=0.5, open_s=0.5, rate=50.0)
        words = ["--workers", "2", "--port", str(port)]
        master = subprocess.Popen([*known.command(), *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        here = [sys.executable, "-m", "loadtest", "worker", "--master", "127.0.0.1", "--port", str(port)]
        there = [sys.executable, "-c", ELSEWHERE, "-f", str(ROOT / "loadtest" / "locustfile.py"), "--worker"]
        there += ["--master-host", "127.0.0.1", "--master-port", str(port), "--apart"]
        near = subprocess.Popen(here, cwd=ROOT, stderr=subprocess.DEVNULL)
        far = subprocess.Popen(there, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
        try:
            _, said = master.communicate(timeout=90)
            _, said_there = far.communicate(timeout=30)
            near.wait(30)
        finally:
            for process in (master, near, far):
                process.kill()
                process.wait()
        sent = known.ask("seen")["times"]
        address = f"127.0.0.1:{known.port}"
    assert master.returncode == 2, said
    assert sent == []
    for told in (said, said_there):  # whoever sits there is told too
        assert "is on another machine" in told and f"{address} there is somebody else's server" in told, told
        assert "--allow-host HOST --max-rps N" in told
