"""A port that is taken between choosing and starting costs another try, not the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import ServerError
from contract.workspace import Workspace
from serving import fleet
from serving.launch import Launch
from serving.ports import choose_ports
from serving.starting import start

LOSER = "print('Socket 127.0.0.1:8001 already in use'); raise SystemExit(1)"


def launch(tmp_path: Path, body: str, port: int) -> Launch:
    return Launch(
        engine="triton",
        engine_kind="real",
        command=[sys.executable, "-c", body],
        image=None,
        environment={},
        ports={"http": port},
        ready="/",
        ready_port="http",
        log=tmp_path / "log",
    )


def server(port: int) -> str:
    return (
        "from http.server import HTTPServer, SimpleHTTPRequestHandler\n"
        f"HTTPServer(('127.0.0.1', {port}), SimpleHTTPRequestHandler).serve_forever()"
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = Workspace(tmp_path)
    yield found
    fleet.stop(found)


def test_a_server_that_lost_its_port_is_started_again_on_others(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = choose_ports({"http": 0}, "test")["http"]
    launches = iter([launch(tmp_path, LOSER, port), launch(tmp_path, server(port), port)])
    record, _ = start(lambda: next(launches), "process", workspace, lambda server: f"on {server.ports['http']}")
    assert record.engine_version == f"on {port}"
    assert [item.pid for item in fleet.running(workspace)] == [record.pid]
    assert "ports was taken meanwhile" in capsys.readouterr().err


def test_a_server_that_never_gets_its_ports_fails_with_its_own_words(workspace: Workspace, tmp_path: Path) -> None:
    port = choose_ports({"http": 0}, "test")["http"]
    with pytest.raises(ServerError, match="already in use"):
        start(lambda: launch(tmp_path, LOSER, port), "process", workspace, lambda server: "never")
