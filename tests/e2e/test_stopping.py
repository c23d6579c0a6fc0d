"""Whatever part of it was killed, `serving stop` leaves no process, no port and no file in shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from contract.endpoints import ServerRecord, Servers
from contract.files import read_model
from serving.engines.model_processes import model_processes
from tests.conftest import ROOT
from tests.open_loop import wait_for
from tests.stage import KERAS_ON_TFSERVING, TORCH_ON_TRITON, Stage
from tests.usual_ports import usual_ports_taken

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}{KERAS_ON_TFSERVING}"
START_S, NOTICED_S, STOPPED_S = 120.0, 60.0, 120.0


@dataclass(frozen=True)
class Running:
    """What ran before anything was killed."""

    servers: dict[str, ServerRecord]
    supervisor: int | None

    @property
    def sessions(self) -> set[int]:
        """Each was started in a session of its own, which all that it starts belongs to."""
        pids = [self.supervisor, *(server.pid for server in self.servers.values())]
        return {pid for pid in pids if pid is not None}

    def pids(self, part: str) -> list[int]:
        """The processes of one part, or of all of them."""
        found: dict[str, list[int | None]] = {
            "supervisor": [self.supervisor],
            "tritonserver": [self.servers["triton"].pid],
            "embedded": [self.servers["tfserving"].pid],
            "stub": [*model_processes(self.servers["triton"])],
        }
        pids = found[part] if part != "everything" else [pid for part in found.values() for pid in part]
        assert pids
        return [pid for pid in pids if pid is not None]


class Stopping(Stage):
    """What runs, and what is left of it."""

    def running(self) -> Running:
        known = read_model(self.workspace.servers, Servers, "make serve")
        supervisor = known.supervisor.pid if known.supervisor else None
        return Running({server.engine: server for server in known.servers}, supervisor)

    def has_started(self, engine: str) -> bool:
        """Whether a server of it is written down; it need not be ready."""
        return self.workspace.servers.is_file() and engine in self.running().servers

    def up(self) -> Running:
        with usual_ports_taken():
            self.do("serving", "up")
        return self.running()

    def left(self, before: Running) -> list[str]:
        """What should be gone: processes (a port goes with the last that holds it), files in shared memory, what is
        written of them.
        """
        prefixes = [server.shm_prefix for server in before.servers.values() if server.shm_prefix]
        assert prefixes
        return [
            *self._processes(before),
            *(str(file) for prefix in prefixes for file in Path("/dev/shm").glob(f"{prefix}*")),
            *(str(file) for file in (self.workspace.servers, self.workspace.endpoints) if file.exists()),
        ]

    def _processes(self, before: Running) -> list[str]:
        """All that this workspace is named to, those that were started since too, and all of the sessions of before."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any(str(self.root) in word for word in words) or _session(process.pid) in before.sessions:
                found.append(f"process {process.pid}: {' '.join(words)}")
        return found


def _session(pid: int) -> int | None:
    """The session of a process; none where it has gone meanwhile."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Stopping]:
    stage = Stopping(tmp_path_factory.mktemp("stopping"))
    copy_zoo(stage.root)
    (stage.root / "models.toml").write_text(MODELS)
    stage.export()
    try:
        yield stage
    finally:
        stage.run("serving", "stop")


def kill(pids: list[int]) -> None:
    """kill -9, whoever is gone already."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("part", ["tritonserver", "stub", "embedded", "supervisor", "everything"])
def test_after_a_part_was_killed_a_stop_leaves_nothing(stage: Stopping, part: str) -> None:
    """At once: whoever watches may have noticed, and may be about to start it again."""
    before = stage.up()
    assert stage.left(before), "nothing would be found that is left"
    kill(before.pids(part))
    stage.do("serving", "stop")
    assert stage.left(before) == []


def test_a_server_that_nobody_brings_back_leaves_nothing_either(stage: Stopping) -> None:
    """Its stubs have lost it, and whoever watched them is gone too."""
    before = stage.up()
    kill([*before.pids("supervisor"), *before.pids("tritonserver")])
    stage.do("serving", "stop")
    assert stage.left(before) == []


def test_a_stop_while_the_dead_are_brought_back_leaves_nothing(stage: Stopping) -> None:
    before = stage.up()
    kill(before.pids("tritonserver"))
    assert wait_for(lambda: any(event.what == "died" for event in stage.events()), NOTICED_S)
    stage.do("serving", "stop")
    assert stage.left(before) == []


def test_of_two_stops_at_once_both_end_well_and_leave_nothing(stage: Stopping) -> None:
    before = stage.up()
    command = [sys.executable, "-m", "serving", "stop", *stage.flags]
    stops = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [stop.communicate(timeout=STOPPED_S) for stop in stops]
    assert [stop.returncode for stop in stops] == [0, 0], said
    assert {out for out, _ in said} == {"stopped tfserving, triton\n", "nothing was running\n"}
    assert stage.left(before) == []


def test_servers_whose_start_was_killed_are_stopped(stage: Stopping) -> None:
    command = [sys.executable, "-m", "serving", "up", *stage.flags]
    with usual_ports_taken():
        up = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert wait_for(lambda: up.poll() is not None or stage.has_started("triton"), START_S)
        finally:
            up.kill()
            up.wait()
    before = stage.running()
    assert set(before.servers) == {"triton", "tfserving"}
    stage.do("serving", "stop")
    assert stage.left(before) == []
