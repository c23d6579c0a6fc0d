"""What became of a version of TF Serving, against a server that goes through states as the test says."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contract.endpoints import ServerRecord
from contract.errors import ServerError
from contract.files import write_json
from serving import fleet
from serving.engines.tfserving_state import TfServingState
from serving.places.launch import Launch
from serving.places.starting import launch_file, start_once
from tests.builders import free_port, served, server, workspace

LONG_S = 60.0  # never waited for
SHORT_S = 0.3
STATES = {"START", "LOADING", "AVAILABLE", "UNLOADING", "END"}


class Scripted:
    """Says one state after the other, and the last for ever; "busy" is a 503, any other word a version not found."""

    def __init__(self, *states: str, failure: str = "") -> None:
        self.states = list(states)
        self.failure = failure
        self.asked: list[str] = []

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state == "busy":
            return 503, b"try later"
        if state not in STATES:
            return 404, json.dumps({"error": "Could not find version 2 of model keras"}).encode()
        status = {"error_code": "UNKNOWN" if self.failure else "OK", "error_message": self.failure}
        found = {"version": "2", "state": state, "status": status}
        return 200, json.dumps({"model_version_status": [found]}).encode()


@contextmanager
def served_by(script: Scripted, load_s: float = LONG_S, unknown_s: float = LONG_S) -> Iterator[TfServingState]:
    class Rest(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = script.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Rest) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield TfServingState(record(listening.server_port), load_s, unknown_s)
        finally:
            listening.shutdown()
            thread.join()


def record(port: int, place: str = "url") -> ServerRecord:
    return server(engine="tfserving", place=place, ports={"grpc": port, "rest": port})


def test_a_version_that_the_server_has_not_found_yet_is_waited_for() -> None:
    """The original answers a new configuration before it has looked at its folders."""
    with served_by(script := Scripted("unknown", "unknown", "START", "LOADING", "AVAILABLE")) as state:
        state.wait("keras", 2)
    assert script.asked == ["/v1/models/keras/versions/2"] * 5


def test_every_version_is_waited_for_whichever_was_there_first() -> None:
    with served_by(script := Scripted("AVAILABLE", "LOADING", "AVAILABLE")) as state:
        state.wait_for([("keras", 1), ("keras", 2)])
    assert script.asked == [f"/v1/models/keras/versions/{version}" for version in (1, 2, 2)]


def test_one_that_it_never_finds_is_said_to_be_unknown_with_the_servers_words() -> None:
    with (
        served_by(Scripted("unknown"), unknown_s=SHORT_S) as state,
        pytest.raises(ServerError, match=r"has no keras version 2: Could not find version 2 of model keras"),
    ):
        state.wait("keras", 2)


def test_one_that_fails_to_load_is_told_at_once_with_its_reason() -> None:
    with (
        served_by(Scripted("LOADING", "END", failure="a truncated file")) as state,
        pytest.raises(ServerError, match="could not load it: a truncated file"),
    ):
        state.wait("keras", 2)


def test_the_end_of_an_earlier_life_is_no_failure() -> None:
    with served_by(Scripted("END", "LOADING", "AVAILABLE")) as state:
        state.wait("keras", 2)


@pytest.mark.parametrize("gone", ["UNLOADING", "END", "unknown"])
def test_whatever_is_not_available_was_let_go_of(gone: str) -> None:
    with served_by(script := Scripted("AVAILABLE", gone)) as state:
        state.wait("keras", 2, available=False)
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("state", "available", "sentence"),
    [("LOADING", True, "did not load"), ("AVAILABLE", False, "did not let go of")],
)
def test_one_that_does_not_come_or_go_in_time_is_a_sentence(state: str, available: bool, sentence: str) -> None:
    with (
        served_by(Scripted(state), load_s=SHORT_S) as asked,
        pytest.raises(ServerError, match=rf"{sentence} keras version 2 within"),
    ):
        asked.wait("keras", 2, available)


@pytest.mark.parametrize("available", [True, False])
def test_a_server_that_answers_no_state_for_a_while_is_asked_again_and_taken_for_nothing(available: bool) -> None:
    last = "AVAILABLE" if available else "END"
    with served_by(script := Scripted("busy", "busy", last)) as state:
        state.wait("keras", 2, available)
    assert len(script.asked) == 3


def test_what_it_answered_instead_of_a_state_is_told_in_the_end() -> None:
    with (
        served_by(Scripted("busy"), load_s=SHORT_S) as state,
        pytest.raises(ServerError, match=r"did not load keras version 2 within .*it answers HTTP 503: try later"),
    ):
        state.wait("keras", 2)


@pytest.mark.parametrize("place", ["url", "process"])
def test_a_server_that_is_gone_is_not_waited_for(place: str) -> None:
    with pytest.raises(ServerError, match="is gone, asked for keras version 2"):
        TfServingState(record(free_port(), place), LONG_S).wait("keras", 2)


DIES = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Once(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/ready":
            print("terminate called: out of memory", file=sys.stderr, flush=True)
            sys.exit(1)
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Once).serve_forever()
"""


def test_a_server_that_dies_of_a_further_version_is_told_with_its_last_lines(tmp_path: Path) -> None:
    place, port = workspace(tmp_path), free_port()
    launch = Launch(
        engine="tfserving",
        engine_kind="embedded",
        command=[sys.executable, "-c", DIES, str(port)],
        image=None,
        environment={},
        ports={"rest": port},
        ready="/ready",
        ready_port="rest",
        log=place.live / "log",
        timeout_s=LONG_S,
    )
    write_json(launch_file(place, "tfserving"), launch)
    running, _ = start_once(launch, "process", place)
    try:
        with pytest.raises(ServerError, match=r"(?s)is gone, .*; the server died:.* \| terminate called: out of mem"):
            fleet._await_versions([served(place, "words", "tfserving")], running, place)
    finally:
        fleet.stop(place)
