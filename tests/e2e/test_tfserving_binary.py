"""`tensorflow_model_server` on PATH, from `serving up` to `serving stop`.

The original cannot be had everywhere: a script of its name stands in, which runs the EMBEDDED server with the flags
that it is given. What is tested is the way to it: that it is found, told of, started, asked, watched and stopped.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contract.endpoints import ServerRecord, Servers
from contract.files import read_model
from serving.engines.tensorflow_serving import BINARY, EXPOSED
from serving.proof.rechecking import recheck
from tests.open_loop import wait_for
from tests.stage import KERAS_ON_TFSERVING, Stage
from tests.usual_ports import usual_ports_taken

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VERSION = "2.20.0-stand-in"
STAND_IN = f"""#!/bin/sh
if [ "$1" = --version ]; then echo "TensorFlow ModelServer: {VERSION}"; exit; fi
exec '{sys.executable}' -m serving.tfserving "$@"
"""
BACK_S = 120.0


@pytest.fixture
def stage(tmp_path: Path, copy_zoo: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A workspace with one export, and the stand-in before everything else on PATH."""
    program = tmp_path / "bin" / BINARY
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    stage = Stage(tmp_path)
    copy_zoo(stage.root)
    (stage.root / "models.toml").write_text(f"schema_version = 1\n{KERAS_ON_TFSERVING}")
    stage.do("export")
    yield stage
    stage.run("serving", "stop")


def _server(stage: Stage) -> ServerRecord:
    (server,) = read_model(stage.workspace.servers, Servers, "make serve").servers
    return server


def test_the_binary_on_path_is_started_proven_watched_and_stopped(stage: Stage) -> None:
    with usual_ports_taken():
        up = stage.run("serving", "up", "--tfserving", "binary")
    assert up.returncode == 0, up.stderr
    assert f"warning: {EXPOSED}" in up.stderr
    server = _server(stage)
    assert (server.engine_kind, server.engine_version, server.place) == ("real", VERSION, "process")
    assert server.command[0] == str(stage.root / "bin" / BINARY)
    assert f"tfserving {VERSION} (real)" in stage.run("serving", "status").stdout
    assert {item.protocol for item in stage.endpoints()} == {"grpc", "rest"}
    for item in stage.endpoints():
        assert item.conditions["server"] == f"tfserving {VERSION}, process"
        assert recheck(item, stage.workspace).passed

    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert wait_for(lambda: len(stage.events()) == 2, BACK_S), "not brought back"
    assert [event.what for event in stage.events()] == ["died", "restarted"]
    again = _server(stage)
    assert (again.engine_version, again.ports, again.command) == (VERSION, server.ports, server.command)
    assert all(recheck(item, stage.workspace).passed for item in stage.endpoints())

    stopped = stage.run("serving", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped tfserving\n"), stopped.stderr
    assert not psutil.pid_exists(again.pid or 0)
    assert "nothing runs; " in stage.run("serving", "status").stdout
