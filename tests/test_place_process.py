"""Servers as processes: tiny programs are started, watched and stopped, with everything that belongs to them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract.endpoints import ServerRecord, Servers
from contract.errors import ServerError
from contract.files import read_model
from serving import fleet
from serving.choice import Choice
from serving.engines import tensorflow_serving, triton
from serving.places import process as place_process
from serving.places import starting
from serving.places.launch import Launch
from serving.places.process import alive, last_lines, start, stop, wait_gone
from tests.builders import config, free_port, served, wait_until, workspace

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
# Starts a child, tells its pid, and then does `rest`.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
print("child", child.pid, flush=True)
{rest}
"""

Start = Callable[..., ServerRecord]


def launch(tmp_path: Path, program: str, **changes: Any) -> Launch:
    """A Launch of a python program."""
    fields: dict[str, Any] = {
        "engine": "triton",
        "engine_kind": "real",
        "command": [sys.executable, "-c", program],
        "image": None,
        "environment": {},
        "ports": {"http": 1},
        "ready": "/ready",
        "ready_port": "http",
        "log": tmp_path / "logs" / "server.log",
    }
    return Launch(**(fields | changes))


@pytest.fixture(scope="module", autouse=True)
def reaped() -> Iterator[None]:
    """Orphans become children of this process, so that they can be waited for whatever process 1 is here."""
    process_control, set_child_subreaper = ctypes.CDLL(None).prctl, 36
    assert process_control(set_child_subreaper, 1, 0, 0, 0) == 0
    yield
    process_control(set_child_subreaper, 0, 0, 0, 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Firmness after a moment, instead of fifteen seconds."""
    monkeypatch.setattr(place_process, "STOP_TIMEOUT_S", 0.3)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """Start a program; whatever the test leaves of it is ended afterwards."""
    begun: list[ServerRecord] = []

    def begin(program: str, says: str = "up", **changes: Any) -> ServerRecord:
        server = start(launch(tmp_path, program, **changes))
        begun.append(server)
        assert wait_until(lambda: says in Path(server.log).read_text()), last_lines(server)
        return server

    yield begin
    for server in begun:
        for process in members(server):
            process.kill()
            process.wait(5)


def members(server: ServerRecord) -> list[psutil.Process]:
    """Every process of the server's session that still runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == server.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def child_of(server: ServerRecord) -> int:
    """The pid that the program has told."""
    assert wait_until(lambda: "child" in Path(server.log).read_text() and "up" in Path(server.log).read_text())
    return int(Path(server.log).read_text().split("child ")[1].split()[0])


def test_a_started_server_is_alive_in_a_session_of_its_own(begin: Start) -> None:
    server = begin(SLEEP)
    assert alive(server)
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid != os.getsid(0)
    assert server.place == "process"


def test_the_environment_of_the_launch_reaches_the_server(begin: Start) -> None:
    begin(
        "import os, time; print('up', os.environ['WORD'], flush=True); time.sleep(60)",
        "up yes",
        environment={"WORD": "yes"},
    )


def test_a_stopped_server_is_gone(begin: Start) -> None:
    server = begin(SLEEP)
    stop(server)
    assert not alive(server)
    assert members(server) == []
    assert wait_gone(1, server)


def test_stopping_twice_is_no_error(begin: Start) -> None:
    server = begin(SLEEP)
    stop(server)
    stop(server)


def test_a_server_may_tidy_up_when_it_is_told_to_stop(begin: Start, tmp_path: Path) -> None:
    program = f"""
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: (Path({str(tmp_path / "tidy")!r}).touch(), sys.exit(0)))
print("up", flush=True)
time.sleep(60)
"""
    stop(begin(program))
    assert (tmp_path / "tidy").exists()


@pytest.mark.parametrize("deaf", ["the server", "its child", "both"])
def test_who_ignores_the_polite_signal_is_ended_firmly(begin: Start, deaf: str) -> None:
    child = DEAF if deaf != "the server" else SLEEP
    rest = f"exec({DEAF!r})" if deaf != "its child" else "time.sleep(60)"
    server = begin(PARENT.format(child=child, rest=rest), "child")
    pid = child_of(server)
    assert psutil.pid_exists(pid)
    stop(server)
    assert members(server) == []


def test_children_are_stopped_with_their_server(begin: Start) -> None:
    server = begin(PARENT.format(child=SLEEP, rest="time.sleep(60)"), "child")
    child = psutil.Process(child_of(server))
    stop(server)
    assert wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert members(server) == []


@pytest.mark.parametrize("child", [SLEEP, DEAF], ids=["polite child", "deaf child"])
def test_orphans_of_a_dead_server_are_found_and_stopped(begin: Start, child: str) -> None:
    server = begin(PARENT.format(child=child, rest="time.sleep(60)"), "child")
    orphan = psutil.Process(child_of(server))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    psutil.Process(server.pid).wait(5)
    assert not alive(server)
    assert orphan.is_running()
    stop(server)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    assert members(server) == []


def test_a_server_that_has_ended_is_not_alive_though_nobody_has_waited_for_it(begin: Start) -> None:
    server = begin("print('up', flush=True)")
    assert wait_until(lambda: not alive(server))


def test_a_record_without_a_pid_is_not_alive(begin: Start) -> None:
    server = begin(SLEEP)
    assert not alive(server.model_copy(update={"pid": None}))


@pytest.mark.parametrize("leader", [False, True], ids=["a process", "a session leader"])
def test_a_process_that_has_inherited_the_pid_is_never_signalled(begin: Start, leader: bool) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=leader)
    try:
        born = psutil.Process(stranger.pid).create_time()
        record = begin("print('up')").model_copy(update={"pid": stranger.pid, "pid_started": born - 3600})
        assert not alive(record)
        stop(record)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_nobody_else_is_touched(begin: Start) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        stop(begin(SLEEP))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_shared_memory_with_the_prefix_is_removed_and_no_other(begin: Start) -> None:
    mark = f"loadproof_test_{uuid.uuid4().hex}"
    ours, foreign = Path("/dev/shm") / f"{mark}_1_stub", Path("/dev/shm") / f"{mark.replace('test', 'else')}_1"
    try:
        ours.write_bytes(b"1")
        foreign.write_bytes(b"2")
        stop(begin(SLEEP, shm_prefix=f"{mark}_"))
        assert not ours.exists()
        assert foreign.exists()
    finally:
        ours.unlink(missing_ok=True)
        foreign.unlink(missing_ok=True)


def test_shared_memory_of_a_server_that_was_killed_is_removed_too(begin: Start) -> None:
    prefix = f"loadproof_test_{uuid.uuid4().hex}_"
    file = Path("/dev/shm") / f"{prefix}region"
    try:
        server = begin(SLEEP, shm_prefix=prefix)
        file.write_bytes(b"1")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        psutil.Process(server.pid).wait(5)
        stop(server)
        assert not file.exists()
    finally:
        file.unlink(missing_ok=True)


def test_the_last_lines_are_the_end_of_the_log(begin: Start) -> None:
    program = "import sys\nfor n in range(50): print('line', n)\nprint('failed: no such flag', file=sys.stderr)"
    lines = last_lines(begin(program, "failed")).splitlines()
    assert len(lines) == place_process.LAST_LINES
    assert lines[-1] == "  | failed: no such flag"
    assert lines[-2] == "  | line 49"


def test_the_log_of_a_server_that_crashed_outlives_its_next_start(begin: Start) -> None:
    first = begin("print('up; out of memory')")
    assert wait_until(lambda: not alive(first))
    second = begin(SLEEP)
    assert first.log == second.log
    assert Path(second.log).read_text() == "up\n"
    assert Path(f"{first.log}{place_process.PREVIOUS}").read_text() == "up; out of memory\n"


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_a_log_with_nothing_in_it_says_so(tmp_path: Path, begin: Start, exists: bool) -> None:
    server = begin("", "")
    assert wait_until(lambda: not alive(server))
    if not exists:
        Path(server.log).unlink()
    assert last_lines(server) == "  | (the log is empty)"


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"/nowhere/tritonserver could not be started: .*No such file"):
        start(launch(tmp_path, "", command=["/nowhere/tritonserver"]))


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_a_server_that_dies_at_its_start_gives_its_last_lines_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    place = workspace(tmp_path)
    prefix = f"loadproof_test_{uuid.uuid4().hex}_"
    region = Path("/dev/shm") / f"{prefix}1"
    program = PARENT.format(child=SLEEP, rest=f"open({str(region)!r}, 'w').close(); sys.exit('unknown flag --color')")
    bad = launch(
        tmp_path, program, engine=engine, ports={"http": free_port()}, log=place.live / "logs/x.log", shm_prefix=prefix
    )
    monkeypatch.setattr(triton, "launch", lambda *_: bad)
    monkeypatch.setattr(tensorflow_serving, "launch", lambda *_: bad)
    monkeypatch.setattr(tensorflow_serving, "engine_version", lambda _: "none")
    item = served(place, name="words" if engine == "tfserving" else "words__onnx", engine=engine)
    with pytest.raises(ServerError) as caught:
        fleet.up(config(), [item], {}, place, Choice(tfserving="embedded"))
    text = str(caught.value)
    assert f"{engine} died while starting; its last lines:" in text
    assert "  | unknown flag --color" in text
    child = int(text.split("| child ")[1].split()[0])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert not region.exists()
    assert not place.servers.exists()
    assert not place.endpoints.exists()
    assert fleet.running(place) == []


def test_a_server_that_never_becomes_ready_is_given_up_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(tmp_path)
    slow = launch(tmp_path, SLEEP, ports={"http": free_port()}, timeout_s=0.5)
    monkeypatch.setattr(triton, "launch", lambda *_: slow)
    with pytest.raises(ServerError, match="triton was not ready after") as caught:
        fleet.up(config(), [served(place)], {}, place, Choice(tfserving="embedded"))
    assert "  | up" in str(caught.value)
    assert not place.servers.exists()


def test_a_running_server_is_in_servers_json_before_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(tmp_path)
    slow = launch(tmp_path, SLEEP, ports={"http": free_port()}, timeout_s=5)
    monkeypatch.setattr(triton, "launch", lambda *_: slow)
    seen: list[list[ServerRecord]] = []

    def look(_: Launch) -> bool:
        seen.append(read_model(place.servers, Servers, "make serve").servers)
        raise KeyboardInterrupt

    monkeypatch.setattr(starting, "_answers", look)
    with pytest.raises(KeyboardInterrupt):
        fleet.up(config(), [served(place)], {}, place, Choice(tfserving="embedded"))
    assert [record.command for record in seen[0]] == [slow.command]
    assert not alive(seen[0][0])
    assert not place.servers.exists()


def test_stopping_a_workspace_that_never_served_is_no_error(tmp_path: Path) -> None:
    assert fleet.stop(workspace(tmp_path)) == []
