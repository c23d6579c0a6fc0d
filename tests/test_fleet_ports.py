"""A port that is taken between choosing and starting costs another try, not the run."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from contract.errors import ServerError
from contract.workspace import Workspace
from serving import fleet
from serving.engines import tensorflow_serving, triton
from serving.layout.repository import lay_out
from serving.places.launch import Launch
from serving.places.ports import choose_ports
from serving.places.starting import MOST_STARTS, start

METRICS = "/monitoring/prometheus/metrics"
Launched = Callable[[Workspace], Launch]
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


def test_a_server_that_never_gets_its_ports_fails_with_its_own_words_and_what_to_do(
    workspace: Workspace, tmp_path: Path
) -> None:
    port = choose_ports({"http": 0}, "test")["http"]
    with pytest.raises(ServerError, match=r"(?s)triton lost one of its ports 3 times.*'ss -ltnp'.*already in use"):
        start(lambda: launch(tmp_path, LOSER, port), "process", workspace, lambda server: "never")


def on_triton(workspace: Workspace) -> Launch:
    return triton.launch(workspace, "process", "26.08")


def on_embedded(workspace: Workspace) -> Launch:
    made = tensorflow_serving.launch(workspace, "embedded", 1, False)
    return made.model_copy(update={"ready": METRICS})  # there is no model whose status could be asked


@pytest.fixture
def ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the usual ones, which tests beside this one take and free all the time."""
    for engine in (triton, tensorflow_serving):
        monkeypatch.setattr(engine, "USUAL_PORTS", dict.fromkeys(engine.USUAL_PORTS, 0))


@pytest.mark.e2e
@pytest.mark.usefixtures("ports_of_its_own")
@pytest.mark.parametrize(
    ("launched", "purpose"),
    [(on_triton, "http"), (on_triton, "grpc"), (on_triton, "metrics"), (on_embedded, "grpc"), (on_embedded, "rest")],
)
def test_a_real_server_whose_port_was_taken_after_the_choice_runs_on_others(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], launched: Launched, purpose: str
) -> None:
    lay_out([], workspace)
    with taken_after_the_choice(launched, purpose, workspace, tries=1) as (make, made):
        record, _ = start(make, "process", workspace, lambda server: "known")
    assert len(made) > 1
    assert record.ports == made[-1].ports
    assert record.ports[purpose] != made[0].ports[purpose]
    assert [item.pid for item in fleet.running(workspace)] == [record.pid]
    assert "ports was taken meanwhile" in capsys.readouterr().err


@pytest.mark.e2e
@pytest.mark.usefixtures("ports_of_its_own")
@pytest.mark.parametrize(("launched", "purpose"), [(on_triton, "grpc"), (on_embedded, "rest")])
def test_a_real_server_whose_port_is_taken_each_time_fails_with_what_to_do(
    workspace: Workspace, launched: Launched, purpose: str
) -> None:
    lay_out([], workspace)
    with (
        taken_after_the_choice(launched, purpose, workspace, tries=MOST_STARTS) as (make, made),
        pytest.raises(ServerError, match="'ss -ltnp' shows who listens") as refused,
    ):
        start(make, "process", workspace, lambda server: "never")
    assert (refused.value.exit_code, len(made)) == (3, MOST_STARTS)
    assert fleet.running(workspace) == []


@contextmanager
def taken_after_the_choice(
    launched: Launched, purpose: str, workspace: Workspace, tries: int
) -> Iterator[tuple[Callable[[], Launch], list[Launch]]]:
    """Makes launches of which the first ``tries`` find a port of theirs taken; and those that it made."""
    made: list[Launch] = []
    with ExitStack() as others:

        def make() -> Launch:
            made.append(launched(workspace))
            if len(made) <= tries:
                other = others.enter_context(socket.socket())
                other.bind(("127.0.0.1", made[-1].ports[purpose]))
                other.listen()
            return made[-1]

        yield make, made
