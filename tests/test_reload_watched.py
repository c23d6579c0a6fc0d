"""A real Triton whose models are unloaded and loaded by somebody while it is watched: nothing of that is a death."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.endpoints import Servers
from contract.events import read_events
from contract.files import read_model
from contract.workspace import Workspace
from serving.engines.model_processes import model_processes
from serving.rolling import models
from serving.watch.supervision import Supervisor
from tests.builders import wait_until
from tests.stage import TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}"
SERVED = "torch__onnx"
RELOADS = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Workspace]:
    """A workspace with a running Triton and, for once, nobody who watches it."""
    with served_on(Stage(tmp_path_factory.mktemp("reloaded")), copy_zoo, MODELS) as stage:
        _stop_watching(stage.workspace)
        yield stage.workspace


def _stop_watching(place: Workspace) -> None:
    watcher = read_model(place.servers, Servers, "make serve").supervisor
    assert watcher is not None
    os.kill(watcher.pid, signal.SIGKILL)


def test_reloads_under_the_eyes_of_a_supervisor_are_no_deaths(place: Workspace) -> None:
    said: list[str] = []
    watcher = Supervisor(place, most_restarts=3, say=said.append)
    watcher.look()
    done = threading.Event()

    def reload() -> None:
        try:
            for _ in range(RELOADS):
                models.reload(SERVED, place)
        finally:
            done.set()

    thread = threading.Thread(target=reload)
    thread.start()
    while not done.is_set():  # looks much more often than the command does: at every moment of a reload
        watcher.look()
    thread.join()
    watcher.look()
    assert said == []


def test_a_real_death_between_two_reloads_is_noticed(place: Workspace) -> None:
    watcher = Supervisor(place, most_restarts=3, say=lambda text: None)
    models.reload(SERVED, place)
    server = read_model(place.servers, Servers, "make serve").servers[0]
    assert wait_until(lambda: len(model_processes(server)) == 1)
    watcher.look()
    (pid,) = model_processes(server)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not model_processes(server))
    watcher.look()
    assert [event.what for event in read_events(place.events)] == ["died", "reloaded"]
    models.reload(SERVED, place)
    watcher.look()
    assert len(read_events(place.events)) == 2
