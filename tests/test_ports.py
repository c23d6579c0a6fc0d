"""Ports: the usual one where it is free, another one, said aloud, where it is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from serving.places.ports import LOOPBACK, choose_ports, is_free
from tests.builders import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_free_usual_ports_are_kept_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    usual = {"http": free_port(), "grpc": free_port()}
    assert choose_ports(usual, "Triton") == usual
    assert capsys.readouterr().err == ""


def test_a_taken_port_is_replaced_and_said_aloud(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    usual = {"http": taken, "grpc": free_port()}
    chosen = choose_ports(usual, "Triton")
    assert chosen["http"] != taken
    assert is_free(chosen["http"])
    assert chosen["grpc"] == usual["grpc"]
    said = capsys.readouterr().err
    assert said == f"Triton: port {taken} (http) is in use; using {chosen['http']} instead\n"


def test_a_port_that_somebody_listens_on_everywhere_is_taken_on_loopback_too() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not is_free(listener.getsockname()[1])


def test_a_port_of_which_only_old_connections_linger_is_free() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, 0))
        listener.listen()
        port = listener.getsockname()[1]
        client = socket.create_connection((LOOPBACK, port))
        accepted, _ = listener.accept()
        accepted.close()  # the server's side closes first and lingers in TIME_WAIT
        client.close()
    assert is_free(port)


def test_no_two_purposes_get_the_same_port(taken: int) -> None:
    chosen = choose_ports({str(number): taken for number in range(20)}, "Triton")
    assert len(set(chosen.values())) == 20


def test_zero_asks_for_any_port_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = choose_ports({"http": 0, "grpc": 0}, "Triton")
    assert len(set(chosen.values())) == 2
    assert all(port > 0 for port in chosen.values())
    assert capsys.readouterr().err == ""


def test_chosen_ports_are_free_again_for_the_server(taken: int) -> None:
    chosen = choose_ports({"http": taken}, "Triton")
    with socket.socket() as server:
        server.bind((LOOPBACK, chosen["http"]))
        server.listen()
