"""What a server in a pod uses, told beside it and read from elsewhere: real processes, over a real connection."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract.samples import COLUMNS
from loadtest.watching.probes import Instant, Row
from loadtest.watching.server_probes import PLACES, Elsewhere
from loadtest.watching.usage_page import UsagePage, Watched
from tests.builders import free_port, server, wait_until

NOW = Instant({}, None)
HOLDS = "block = b'x' * 50_000_000; print('up', flush=True); input()"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program, under a name of its own where one is given, and waits for its first line."""
    running: list[subprocess.Popen[str]] = []

    def start(program: str, name: Path | None = None) -> subprocess.Popen[str]:
        if name is not None:
            name.symlink_to(sys.executable)
        command = [str(name or sys.executable), "-S", "-c", program]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(child)
        assert child.stdout is not None and child.stdout.readline() == "up\n"
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


@contextmanager
def answering(page: HTTPServer) -> Iterator[int]:
    """The port of a page that answers while the block runs."""
    thread = threading.Thread(target=page.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(page.server_address[1])
    finally:
        page.shutdown()
        thread.join()
        page.server_close()


def elsewhere(port: int | None) -> Elsewhere:
    ports = {"http": 1} if port is None else {"http": 1, "usage": port}
    probe = PLACES["url"](server(place="url", pid=None, ports=ports), Path("nowhere"))
    assert isinstance(probe, Elsewhere)
    return probe


def test_a_server_in_another_pod_is_sampled_by_what_is_told_beside_it(start: Start) -> None:
    child = start(HOLDS)
    with answering(UsagePage(("127.0.0.1", 0), Watched([str(child.pid)]))) as port:
        probe = elsewhere(port)
        for _ in range(2):
            (row,) = probe.rows(NOW)
        probe.close()
    assert row["subject"] == "triton" and row["pid"] == child.pid and row["threads"] == 1
    assert 50_000_000 <= row["private_bytes"] <= row["memory_bytes"] < 200_000_000
    assert row["cpu_s"] < 5 and row.keys() <= COLUMNS.keys()


def test_a_server_is_found_by_its_name_and_again_after_a_restart(start: Start, tmp_path: Path) -> None:
    name = f"served{free_port()}"  # nobody else's on this machine, and short enough for the kernel
    watched = Watched(["never-there", name])
    assert watched.row() == {"absent": f"no process is called never-there or {name}"}
    first = start(HOLDS, tmp_path / name)
    assert watched.row()["pid"] == first.pid
    first.kill()  # not waited for: what is left of it uses nothing
    assert wait_until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE)
    assert "absent" in watched.row()
    (tmp_path / name).unlink()
    second = start(HOLDS, tmp_path / name)
    assert watched.row()["pid"] == second.pid


def test_the_first_process_of_a_name_is_the_server_and_the_others_are_its_children(
    start: Start, tmp_path: Path
) -> None:
    name = f"served{free_port()}"
    forks = "import os, time; os.fork() or time.sleep(600); print('up', flush=True); input()"
    parent = start(forks, tmp_path / name)
    (child,) = psutil.Process(parent.pid).children()
    try:
        found = Watched([name]).row()
        assert found["pid"] == parent.pid and found["threads"] == 2, "one of each"
    finally:
        child.kill()


class Says(BaseHTTPRequestHandler):
    """Answers with what its class was given."""

    text = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps({"absent": "no process is called x"}), "beside the server no process is called x"),
        ("[]", "does not answer"),
        ("7", "does not answer"),
        (json.dumps({"pid": 7}), "does not answer"),
        ("<html>", "does not answer"),
    ],
)
def test_what_tells_no_figures_is_a_row_that_says_why(text: str, why: str) -> None:
    page = HTTPServer(("127.0.0.1", 0), type("Saying", (Says,), {"text": text}))
    with answering(page) as port:
        assert why in absent(elsewhere(port).rows(NOW))


def test_a_page_that_is_not_there_and_one_that_nobody_named_say_so() -> None:
    assert "does not answer" in absent(elsewhere(free_port()).rows(NOW))
    assert absent(elsewhere(None).rows(NOW)) == "absent: the server runs elsewhere"


def absent(rows: list[Row]) -> Any:
    (row,) = rows
    return row["absent"]


def test_the_command_answers_whoever_asks(start: Start) -> None:
    child, port = start(HOLDS), free_port()
    command = [sys.executable, "-m", "loadtest.watching.usage_page", f"--port={port}", str(child.pid)]
    page = subprocess.Popen(command)
    try:
        assert wait_until(lambda: told(port).get("pid") == child.pid, 30)
    finally:
        page.terminate()
        page.wait(timeout=30)


def told(port: int) -> dict[str, Any]:
    """What is answered; empty where nobody answers yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}
