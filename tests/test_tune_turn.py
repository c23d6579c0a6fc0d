"""Whoever tries settings or replicas on the servers of a workspace has the turn: no roll comes between."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.endpoints import Servers
from contract.errors import UsageError
from contract.files import write_json
from contract.workspace import Workspace
from serving.replication.running import beside
from serving.rolling import reconfiguring
from serving.rolling.reconfiguring import reconfigurable
from tests.builders import config, endpoint, workspace
from tests.conftest import run_module


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    made = workspace(tmp_path)
    write_json(made.servers, Servers(schema_version=1, servers=[]))
    return made


@contextmanager
def somebody_else_has_it(place: Workspace) -> Iterator[None]:
    """The lock is that of another open file, as another process has it."""
    handle = os.open(place.live / "turn", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def test_while_another_command_changes_the_servers_no_setting_is_tried(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconfiguring, "_found", lambda *_: pytest.fail("it looked at what is about to change"))
    with (
        somebody_else_has_it(place),
        pytest.raises(UsageError, match="another process is changing the servers"),
        reconfigurable(config(), endpoint(), place),
    ):
        pytest.fail("it began")


def test_while_another_command_changes_the_servers_no_replica_is_started(place: Workspace) -> None:
    with (
        somebody_else_has_it(place),
        pytest.raises(UsageError, match="another process is changing the servers"),
        beside(place),
    ):
        pytest.fail("it began")


def test_a_roll_beside_replicas_is_told_whose_turn_it_is(place: Workspace) -> None:
    (place.root / "models.toml").write_text(
        'schema_version = 1\n[models.words]\nframework = "pytorch"\nsource = "zoo.somewhere:build"\n'
        'formats = ["onnx"]\n'
        'inputs = [{ name = "tokens", dtype = "int64", dims = ["batch"] }]\n'
        'outputs = [{ name = "logits", dtype = "float32", dims = ["batch"] }]\n'
    )
    flags = ["--config", str(place.root / "models.toml"), "--workspace", str(place.root)]
    with beside(place):
        refused = run_module("serving", "roll", *flags)
    assert refused.returncode == 2
    assert f"'tune' (process {os.getpid()}) is changing the servers of {place.root}" in refused.stderr
