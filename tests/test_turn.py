"""Commands that change the servers of a workspace take turns; a real second process plays the other command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contract.errors import ServerError, UsageError
from contract.workspace import Workspace
from serving.places import turn as turns
from serving.places.turn import last_turn, turn
from tests.conftest import ROOT

OTHER = """
import signal, sys
from pathlib import Path
from contract.workspace import Workspace
from serving.places.turn import turn

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with turn(Workspace(Path(sys.argv[1])), sys.argv[2]):
    print("has it", flush=True)
    signal.pause()
"""
Other = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def other(place: Workspace) -> Iterator[Other]:
    """Start another process that has the turn until it is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str = "up") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OTHER, str(place.root), what]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout and process.stdout.readline() == "has it\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_whoever_comes_second_is_told_whose_turn_it_is(place: Workspace, other: Other) -> None:
    holder = other()
    with (
        pytest.raises(UsageError, match=rf"'up' \(process {holder.pid}\) is changing the servers"),
        turn(place, "roll"),
    ):
        pass
    assert holder.poll() is None


def test_what_a_command_does_within_its_turn_takes_no_second_one(place: Workspace) -> None:
    with turn(place, "up"), turn(place, "reload"), last_turn(place, "stop"):
        pass
    with turn(place, "roll"):
        pass


def test_whoever_stops_everything_interrupts_who_has_the_turn(
    place: Workspace, other: Other, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = other()
    with last_turn(place, "stop"):
        assert holder.wait(10) == 7
        said = capsys.readouterr().err
        assert f"'up' (process {holder.pid}) is changing the servers: interrupting it and waiting for its end" in said
        with pytest.raises(AssertionError):  # the turn is taken meanwhile: nobody else gets it
            other()


def test_who_is_stopping_everything_already_is_waited_for_and_not_interrupted(
    place: Workspace, other: Other, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = other("stop")
    monkeypatch.setattr(turns, "END_S", 0.3)
    with pytest.raises(ServerError, match=r"'stop' .* has not ended"), last_turn(place, "stop"):
        pass
    assert "waiting for it" in capsys.readouterr().err
    with pytest.raises(subprocess.TimeoutExpired):  # a signal would have ended it
        holder.wait(1.0)


def test_the_turn_of_a_process_that_was_killed_is_free(place: Workspace, other: Other) -> None:
    holder = other()
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    with turn(place, "up"):
        pass


def test_a_process_that_got_the_id_of_one_that_had_the_turn_is_left_alone(
    place: Workspace, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file names this process, but one of an earlier start."""
    other()
    (place.live / "turn").write_text(f"{os.getpid()} {psutil.Process().create_time() - 100} up")
    signalled: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: signalled.append(number))
    monkeypatch.setattr(turns, "END_S", 0.3)
    try:
        with pytest.raises(ServerError, match="has not ended"), last_turn(place, "stop"):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signalled == []


def test_stopping_where_nothing_was_ever_started_leaves_nothing_behind(place: Workspace) -> None:
    with last_turn(place, "stop"):
        pass
    assert list(place.root.iterdir()) == []
