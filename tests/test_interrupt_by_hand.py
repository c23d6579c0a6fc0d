"""Ctrl-C in a Locust that was started by hand: what was measured of the stage that was on is kept and can be judged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from contract.files import read_model
from contract.records import Observation, read_records
from report.assemble import assemble
from tests.builders import free_port, wait_until
from tests.conftest import ROOT
from tests.known_latency import VARIANT, Known, known_latency

pytestmark = [pytest.mark.e2e]

ENOUGH = 100  # requests, of 50 per second: the stage is on for two seconds
OURS = ROOT / "loadtest" / "locustfile.py"
MINE = """
from locust import constant
from loadtest.users import TritonHttpUser

class Mine(TritonHttpUser):
    host = "127.0.0.1:{port}"
    payloads = "{payloads}"
    wait_time = constant(0.01)
"""


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Known]:
    with known_latency(tmp_path, delay_ms=5.0) as known:
        known.configure(concurrency=[1], closed_s=0.5, open_s=600.0, rate=50.0)
        yield known


@contextmanager
def locust(known: Known, *words: str, file: Path = OURS) -> Iterator[subprocess.Popen[str]]:
    """A Locust file as a person starts it, in a terminal's process group of its own."""
    command = [sys.executable, "-m", "locust", "-f", str(file), *words]
    child = subprocess.Popen(
        [*command, *(["--live", str(known.root / "live")] if file == OURS else [])],
        cwd=known.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def is_far_enough(known: Known) -> bool:
    """Whether the closed stage is over and the open one has been on for a while."""
    counts: list[int] = []

    def answered() -> bool:
        counts.append(len(known.ask("seen")["times"]))  # since it was asked last
        return sum(counts) > ENOUGH

    closed = known.root / "results" / "latest" / f"server-stats-{VARIANT}.json"
    if not wait_until(closed.is_file, 60):
        return False
    known.ask("seen")  # what the closed stage sent is not counted
    return wait_until(answered, 60)


def judge(known: Known) -> None:
    """The stage that was on is there, marked as interrupted, with its records."""
    closed, opened = read_model(known.newest() / f"server-stats-{VARIANT}.json", Observation, "make loadtest").stages
    assert not closed.interrupted and opened.interrupted
    assert 0.5e9 <= opened.window_end_ns - opened.window_start_ns < 100e9
    assert opened.lost == []
    stages = read_records(known.newest(), VARIANT).column("stage").to_pylist()
    assert stages.count(opened.stage) > ENOUGH / 2
    report = assemble(known.newest())
    assert report.verdict == "INVALID" and not report.variants[0].complete
    assert report.variants[0].stages[-1].requests > 20 and report.variants[0].stages[-1].errors == {}


@pytest.mark.parametrize("processes", [1, 2])
def test_without_the_page_the_stage_that_is_on_is_kept(known: Known, processes: int) -> None:
    with locust(known, "--headless", *shared_by(processes)) as child:
        assert is_far_enough(known)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert f"of 1 of 1 variants, is kept in {known.newest()}; " in said
    assert "Traceback" not in said
    judge(known)


@pytest.mark.parametrize("stop", [False, True], ids=["Ctrl-C", "the page's stop"])
def test_with_the_page_it_is_kept_too(known: Known, stop: bool) -> None:
    port = free_port()
    with locust(known, "--web-port", str(port)) as child:
        assert wait_until(lambda: posted(port, "swarm"), 60)
        assert is_far_enough(known)
        assert not stop or posted(port, "stop")
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "is kept in" in said and "Traceback" not in said
    judge(known)


def own_file(known: Known) -> Path:
    """A Locust file of somebody's own, with one of our users."""
    file = known.root / "mine.py"
    payloads = known.root / "live/payloads/triton/words__onnx/http"
    file.write_text(MINE.format(port=known.port, payloads=payloads))
    known.ask("seen")
    return file


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_of_somebodys_own_is_interrupted_with_the_same_exit_code(known: Known, processes: int) -> None:
    words = ["--headless", "--users", "4", *shared_by(processes)]
    with locust(known, *words, file=own_file(known)) as child:
        assert wait_until(lambda: len(known.ask("seen")["times"]) > 0, 60)
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "Traceback" not in said


def test_a_master_that_comes_last_to_the_interruption_of_all_exits_with_its_code(known: Known) -> None:
    with locust(known, "--headless", "--users", "4", *shared_by(2), file=own_file(known)) as child:
        assert wait_until(lambda: len(known.ask("seen")["times"]) > 0, 60)
        os.kill(child.pid, signal.SIGSTOP)
        os.killpg(child.pid, signal.SIGINT)
        assert wait_until(lambda: all(map(ended, children_of(child.pid))), 60)
        os.kill(child.pid, signal.SIGCONT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "Traceback" not in said


@pytest.mark.parametrize(("begun", "code"), [(True, 130), (False, 0)], ids=["in a run", "before any"])
def test_on_the_page_of_such_a_file_only_a_run_is_interrupted(known: Known, begun: bool, code: int) -> None:
    port = free_port()
    with locust(known, "--web-host", "127.0.0.1", "--web-port", str(port), file=own_file(known)) as child:
        assert wait_until(lambda: posted(port, "swarm" if begun else "stop"), 60)  # the page is there
        assert wait_until(lambda: not begun or len(known.ask("seen")["times"]) > 0, 60)
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == code, said
    assert "Traceback" not in said


def shared_by(processes: int) -> list[str]:
    """The words that let so many load processes share a run, of which one alone is Locust itself."""
    port = str(free_port())
    words = ["--processes", str(processes), "--master-bind-port", port, "--master-port", port]
    return words if processes > 1 else []


def children_of(pid: int) -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(pid).children()
    return children


def ended(process: psutil.Process) -> bool:
    """Its parent, which stands still, has not waited for it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def posted(port: int, button: str) -> bool:
    """Press a button of the page."""
    form = urllib.parse.urlencode({"user_count": 1, "spawn_rate": 1}).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{button}", form, timeout=30):
            return True
    except (urllib.error.URLError, OSError):
        return False
