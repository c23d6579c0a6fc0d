"""A child that takes too long is ended, with all that it started; what a child took is measured; its log is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from contract.children import NOISE, Ended, run_child
from tests.builders import wait_until
from tests.conftest import ROOT


def child(body: str, **options: object) -> Ended:
    return run_child([sys.executable, "-c", textwrap.dedent(body)], echo=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        "import time; print('loading', flush=True); time.sleep(60)",
        "print('loading', flush=True)\nwhile True: pass",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('loading', flush=True); time.sleep(60)",
    ],
    ids=["waits", "computes", "is deaf to SIGTERM"],
)
def test_a_child_that_overruns_its_limit_is_ended_and_says_which_limit(body: str) -> None:
    started = time.monotonic()
    ended = child(body, limit_s=1.0)
    assert time.monotonic() - started < 5
    assert ended.code == -9
    assert ended.reason == "took longer than its limit of 1 s"
    assert ended.lines == ["loading"]
    assert not ended.interrupted
    assert 1.0 <= ended.seconds < 5


def test_what_a_child_started_does_not_outlast_its_limit(tmp_path: Path) -> None:
    """A compiler, or a pool of workers: they hold the same pipe, and their parent's end is not theirs."""
    body = f"""
        import pathlib, subprocess, time
        started = subprocess.Popen(["sleep", "8"])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(started.pid))
        time.sleep(8)
    """
    started = time.monotonic()
    ended = child(body, limit_s=1.0)
    took = time.monotonic() - started
    pid = int((tmp_path / "pid").read_text())
    gone = wait_until(lambda: not Path(f"/proc/{pid}").exists(), 2)
    if not gone:
        os.kill(pid, 9)
    assert ended.timed_out_s == 1.0
    assert took < 5, f"returned after {took:.1f} s"
    assert gone, "what the child started still runs"


def test_a_child_within_its_limit_is_not_touched_by_it() -> None:
    ended = child("print('done')", limit_s=30.0)
    assert (ended.code, ended.timed_out_s, ended.lines) == (0, None, ["done"])


def test_a_limit_that_ends_after_its_child_ends_nobody_else() -> None:
    """The number of a process that is gone may be another's by then."""
    assert child("pass", limit_s=0.7).code == 0
    time.sleep(0.9)
    assert child("import time; time.sleep(0.3)", limit_s=30.0).code == 0


PEAK = """
import sys
from contract.children import run_child
body = "block = bytearray({size} * 2**20); block[::4096] = b'x' * len(block[::4096]); del block"
print(run_child([sys.executable, "-c", body], echo=False).peak_mib)
"""


@pytest.mark.parametrize("mebibytes", [150, 300])
def test_the_largest_memory_of_a_child_is_what_it_took(mebibytes: int) -> None:
    """Asked for by a small parent, as the export is: before a child is a program of its own it counts as its parent."""
    text = PEAK.format(size=mebibytes)
    result = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
    assert mebibytes <= int(result.stdout) < mebibytes + 120


def test_the_seconds_of_a_child_are_measured() -> None:
    assert 0.4 <= child("import time; time.sleep(0.4)").seconds < 5


def test_the_log_has_the_command_and_every_line_noise_too(tmp_path: Path) -> None:
    log = tmp_path / "step.log"
    ended = child(f"for n in range(40): print('line', n)\nprint({NOISE[1]!r})", log=log)
    lines = log.read_text().splitlines()
    assert lines[0].startswith("$ python -c ")
    assert [f"line {n}" for n in range(40)] == [line for line in lines if line.startswith("line ")]
    assert lines[-1] == NOISE[1]
    assert NOISE[1] not in ended.lines


def test_the_log_of_a_child_that_overran_says_how_far_it_came(tmp_path: Path) -> None:
    log = tmp_path / "step.log"
    child("import time; print('so far', flush=True); time.sleep(60)", limit_s=1.0, log=log)
    assert "so far" in log.read_text()


def test_a_step_has_the_environment_that_its_route_asks_for() -> None:
    code = "import os; print(os.environ['KERAS_BACKEND'], os.environ['CUDA_VISIBLE_DEVICES'] == '')"
    assert child(code, environment={"KERAS_BACKEND": "torch"}).lines == ["torch True"]
    assert child(code).lines == ["tensorflow True"]
