"""What `python -m serving status` says: the same for a person and for a program."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
from docker.errors import DockerException

from contract.endpoints import ServerRecord, Servers, Supervisor
from contract.errors import ServerError
from contract.events import append_event, happened
from contract.files import read_model, write_json
from contract.workspace import Workspace
from serving.__main__ import main
from serving.places import docker as place_docker
from tests.builders import endpoint, endpoints, server

ME = psutil.Process()  # a process that surely runs


def running() -> ServerRecord:
    return server(place="process", pid=ME.pid, pid_started=ME.create_time(), container=None)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A server runs that was restarted once, and nobody watches it."""
    made = Workspace(tmp_path)
    write_json(made.servers, Servers(schema_version=1, servers=[running()]))
    write_json(made.endpoints, endpoints(endpoint(), servers=[running()]))
    append_event(made.events, happened("died", "triton", None, "exit code 1", last_lines="out of memory"))
    append_event(made.events, happened("restarted", "triton", None, "again up"))
    return made


def document(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["status", "--workspace", str(workspace.root), "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_program_reads_events_servers_and_endpoints_as_the_files_have_them(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(workspace, capsys)
    events = found.pop("events")
    assert isinstance(events, list)
    assert [(item["what"], item["last_lines"]) for item in events] == [("died", "out of memory"), ("restarted", "")]
    assert found == {
        "schema_version": 1,
        "servers": [running().model_dump(mode="json")],
        "watched_by": None,
        "endpoints": [endpoint().model_dump(mode="json")],
    }


def test_a_supervisor_that_is_gone_watches_nothing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    gone = Supervisor(pid=ME.pid, pid_started=1.0, log="supervisor.log")  # its pid is somebody else's now
    write_json(workspace.servers, Servers(schema_version=1, servers=[running()], supervisor=gone))
    assert document(workspace, capsys)["watched_by"] is None


def test_endpoints_of_servers_that_are_gone_are_not_up(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = running().model_copy(update={"pid_started": 1.0})
    write_json(workspace.servers, Servers(schema_version=1, servers=[stopped]))
    found = document(workspace, capsys)
    assert (found["servers"], found["endpoints"]) == ([], [])
    assert found["events"]


def test_endpoints_of_the_one_server_that_is_gone_are_told_apart_from_those_that_can_be_asked(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = running().model_copy(update={"pid_started": 1.0})
    other = running().model_copy(update={"engine": "tfserving"})
    on_other = endpoint(engine="tfserving", format="savedmodel", protocol="rest")
    write_json(workspace.servers, Servers(schema_version=1, servers=[gone, other]))
    write_json(workspace.endpoints, endpoints(endpoint(), on_other))
    assert document(workspace, capsys)["endpoints"] == [on_other.model_dump(mode="json")]
    assert main(["status", "--workspace", str(workspace.root)]) == 0
    *_, ready, down = capsys.readouterr().out.splitlines()
    assert ready.startswith(f"ready  {on_other.id}")
    assert down.startswith(f"down   {endpoint().id}")
    assert down.endswith("triton does not run, and nobody saw it go; the same 'make serve' starts all anew")
    append_event(workspace.events, happened("died", "triton", None, "again"))
    assert main(["status", "--workspace", str(workspace.root)]) == 0
    assert capsys.readouterr().out.endswith("triton does not run; what happened is told above\n")


def test_a_person_reads_the_same(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--workspace", str(workspace.root)]) == 0
    died, last, restarted, up, watched, ready = capsys.readouterr().out.splitlines()
    assert died.endswith("died       exit code 1") and last == "out of memory" and restarted.endswith("again up")
    assert f"pid {ME.pid}" in up
    assert watched == "nobody watches them"
    assert ready.startswith(f"ready  {endpoint().id}")


def test_where_nothing_runs_both_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(Workspace(tmp_path), capsys)
    assert found == {"schema_version": 1, "events": [], "servers": [], "watched_by": None, "endpoints": []}
    main(["status", "--workspace", str(tmp_path)])
    assert capsys.readouterr().out == "nothing runs; 'make serve' starts the servers\n"


def test_a_stop_says_what_it_stops_before_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path)
    with subprocess.Popen(["sleep", "600"]) as child:
        started = psutil.Process(child.pid).create_time()
        item = server(place="process", pid=child.pid, pid_started=started, container=None)
        write_json(workspace.servers, Servers(schema_version=1, servers=[item]))
        try:
            assert main(["stop", "--workspace", str(tmp_path)]) == 0
            assert child.wait(30) < 0
        finally:
            child.kill()
    said = capsys.readouterr()
    assert (said.err, said.out) == ("stopping triton\n", "stopped triton\n")
    main(["stop", "--workspace", str(tmp_path)])
    assert capsys.readouterr() == ("nothing was running\n", "")


def test_a_server_at_an_address_is_never_said_to_be_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        item = server(place="url", ports={"http": somebody.getsockname()[1]})
        write_json(workspace.servers, Servers(schema_version=1, servers=[item]))
        assert main(["stop", "--workspace", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert (said.err, said.out) == ("", "triton at 127.0.0.1 goes on: it was started by somebody else\n")
    assert not workspace.servers.exists()


def test_an_engine_of_docker_that_does_not_answer_keeps_no_other_server_from_being_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise DockerException("no such file")

    monkeypatch.setattr(place_docker, "_client", absent)
    workspace = Workspace(tmp_path)
    contained = server(engine="tfserving", place="docker", container="c0ffee")
    with subprocess.Popen(["sleep", "600"]) as child:
        started = psutil.Process(child.pid).create_time()
        item = server(place="process", pid=child.pid, pid_started=started)
        write_json(workspace.servers, Servers(schema_version=1, servers=[contained, item]))
        try:
            with pytest.raises(ServerError, match=r"Docker did not remove container c0ffee: no such file"):
                main(["stop", "--workspace", str(tmp_path)])
            assert child.wait(30) < 0
        finally:
            child.kill()
    assert read_model(workspace.servers, Servers, "make serve").servers == [contained]
    assert "Docker does not say whether tfserving runs" in capsys.readouterr().err
