"""Commands that would change the same servers at once, and servers that nobody watches any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contract.endpoints import Servers
from contract.files import read_model
from serving.supervise import watched
from tests.conftest import ROOT
from tests.open_loop import wait_for
from tests.stage import TORCH_ON_TRITON, Stage
from tests.usual_ports import usual_ports_taken

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Stage]:
    """A workspace with exports, in which nothing runs yet."""
    stage = Stage(tmp_path_factory.mktemp("turns"))
    copy_zoo(stage.root)
    (stage.root / "models.toml").write_text(MODELS)
    stage.export()
    try:
        with usual_ports_taken():
            yield stage
    finally:
        stage.run("serving", "stop")


def _begin(stage: Stage, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *words, *stage.flags]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _held_up(stage: Stage) -> subprocess.Popen[str]:
    """A command that has started a server, and is held up before it has brought it up."""
    assert not stage.workspace.servers.exists()
    running = _begin(stage, "serving", "up")
    assert wait_for(stage.workspace.servers.is_file, 120.0), "no server was started"
    running.send_signal(signal.SIGSTOP)
    assert not stage.workspace.endpoints.exists()
    return running


def _processes(stage: Stage) -> list[int]:
    """Of servers, models and whoever watches them, in this workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(stage.root) in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_a_second_command_that_brings_up_is_refused_while_the_first_does(stage: Stage) -> None:
    first = _held_up(stage)
    try:
        second = stage.run("serving", "up")
    finally:
        first.send_signal(signal.SIGCONT)
        _, errors = first.communicate(timeout=180)
    assert first.returncode == 0, errors
    assert second.returncode == 2, second.stderr
    assert f"'up' (process {first.pid}) is changing the servers" in second.stderr
    stage.do("serving", "stop")
    assert _processes(stage) == []


def test_stopping_interrupts_whoever_brings_up_and_leaves_nothing(stage: Stage) -> None:
    first = _held_up(stage)
    stopping = _begin(stage, "serving", "stop")
    try:
        assert stopping.stderr and any("interrupting it" in line for line in stopping.stderr)
    finally:
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
        stopping.communicate(timeout=60)
    assert (first.returncode, stopping.returncode) == (130, 0)
    assert _processes(stage) == []


def test_serving_again_has_servers_watched_whose_watcher_was_killed(stage: Stage) -> None:
    stage.do("serving", "up")
    before = read_model(stage.workspace.servers, Servers, "make serve")
    assert before.supervisor is not None
    os.kill(before.supervisor.pid, signal.SIGKILL)
    assert wait_for(lambda: not watched(before.supervisor), 10.0)
    stage.do("serving", "up")
    after = read_model(stage.workspace.servers, Servers, "make serve")
    assert watched(after.supervisor)
    assert after.servers == before.servers


def test_a_repository_is_not_laid_out_anew_under_servers_that_run_with_another(stage: Stage) -> None:
    stage.do("serving", "up")
    stage.do("serving", "repository")  # the same again
    config = stage.root / "models.toml"
    config.write_text(f"{MODELS}\n[models.torch.batching]\nmax_batch_size = 3\n")
    laid_out = stage.root / "model_repository/triton/torch__onnx/config.pbtxt"
    before = laid_out.read_text()
    refused = stage.run("serving", "repository")
    config.write_text(MODELS)
    assert (refused.returncode, "servers run here with other exports" in refused.stderr) == (2, True), refused.stderr
    assert laid_out.read_text() == before
