"""A server that hangs in a running container is told by its silence, and an answer of any kind breaks that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from contract.endpoints import ServerRecord
from serving.watch import silence
from serving.watch.silence import MOST_MISSED, Silence
from tests.builders import server


class Refuses(BaseHTTPRequestHandler):
    """An answer that is no good news, and is one all the same."""

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is for failures."""


@contextmanager
def refusing() -> Iterator[int]:
    """A server that refuses every request; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield int(listening.server_address[1])
        finally:
            listening.shutdown()
            thread.join()


@contextmanager
def hanging() -> Iterator[int]:
    """A port whose connections are taken by the kernel, as Docker takes them, and never answered."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(64)
        yield int(held.getsockname()[1])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "ANSWER_S", 0.05)


def contained(engine: str, port: int) -> ServerRecord:
    purpose = {"triton": "http", "tfserving": "rest"}[engine]
    return server(engine=engine, place="docker", container="c", ports={purpose: port})


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_one_that_takes_connections_and_answers_none_is_told_after_a_while_and_once(engine: str) -> None:
    heard = Silence()
    with hanging() as port:
        told = [heard.too_long(contained(engine, port)) for _ in range(MOST_MISSED + 1)]
    assert told == [False] * (MOST_MISSED - 1) + [True, False]


def test_a_refusal_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "ANSWER_S", 30.0)
    heard = Silence()
    with refusing() as port:
        assert not any(heard.too_long(contained("triton", port)) for _ in range(MOST_MISSED + 1))


def test_an_answer_lets_the_count_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    misses = [False] * (MOST_MISSED - 1)
    answers = iter([*misses, True, *misses, False])
    monkeypatch.setattr(silence, "_answers", lambda _: next(answers))
    heard, asked = Silence(), contained("triton", 8000)
    told = [heard.too_long(asked) for _ in range(2 * MOST_MISSED)]
    assert told == [False] * (2 * MOST_MISSED - 1) + [True]


def test_who_comes_in_the_place_of_one_that_died_is_counted_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_answers", lambda _: False)
    heard, asked = Silence(), contained("triton", 8000)
    for _ in range(MOST_MISSED - 1):
        assert not heard.too_long(asked)
    heard.forget(asked)
    assert not any(heard.too_long(asked) for _ in range(MOST_MISSED - 1))
    assert heard.too_long(asked)


def test_each_server_is_counted_by_itself() -> None:
    heard = Silence()
    with hanging() as port:
        for _ in range(MOST_MISSED - 1):
            assert not heard.too_long(contained("triton", port))
        assert not heard.too_long(contained("tfserving", port))
        assert heard.too_long(contained("triton", port))


@pytest.mark.parametrize("place", ["process", "url"])
def test_nobody_but_a_container_is_ended_for_its_silence(place: str) -> None:
    heard = Silence()
    with hanging() as port:
        asked = server(place=place, ports={"http": port})
        assert not any(heard.too_long(asked) for _ in range(MOST_MISSED + 1))
