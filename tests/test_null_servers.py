"""The null servers: every request has the same answer, held as long as asked for, and how long it was is told."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from contract.errors import UsageError
from contract.files import write_bytes
from contract.records import answer_frame
from loadtest.certification.null_server import NullServer, null_server
from loadtest.certification.self_made import self_made
from loadtest.null.delay import Hold, NullOptions, parse, read_seen
from loadtest.null.grpc import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, WINDOW_UPDATE, Grpc, frame
from loadtest.null.http import ends_of_requests
from tests.conftest import ROOT

ANSWERED = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "7", "Content-Length": "999"}
BODY = b"answer!" + bytes(range(256))
POST = b"POST /v2/models/words/infer HTTP/1.1\r\nHost: null\r\ncontent-length: 5\r\n\r\nhello"
GET = b"GET /anything HTTP/1.1\r\nHost: null\r\n\r\n"


@pytest.mark.parametrize(
    ("arrived", "due", "why"),
    [
        (0, 5, "the delay alone"),
        (74, 79, "ready just before the stall"),
        (75, 100, "ready just when it begins"),
        (80, 100, "ready in the stall"),
        (94, 100, "ready just before its end"),
        (95, 100, "ready at its end"),
        (96, 101, "ready after it"),
        (175, 200, "the next stall"),
    ],
)
def test_an_answer_is_due_after_the_delay_or_at_the_end_of_the_stall_that_it_falls_into(
    arrived: int, due: int, why: str
) -> None:
    assert Hold(delay=5, stall=20, every=100).due(arrived) == due, why
    assert Hold(delay=5, stall=20, every=100, epoch=1_000_007).due(1_000_007 + arrived) == 1_000_007 + due, why


def test_whoever_arrived_earlier_is_never_due_later() -> None:
    hold = Hold(delay=13, stall=37, every=100, epoch=41)
    due = [hold.due(arrived) for arrived in range(1000)]
    assert due == sorted(due)


def test_without_delay_and_stall_nothing_is_held() -> None:
    assert not Hold()
    assert Hold().due(123) == 123
    assert Hold(stall=1, every=10)


@pytest.mark.parametrize(
    ("data", "found", "why"),
    [
        (POST, (1, len(POST)), "one request"),
        (POST * 3, (3, 3 * len(POST)), "three, pipelined"),
        (POST + POST[:-1], (1, len(POST)), "the second one's body is not whole"),
        (POST + POST[:20], (1, len(POST)), "the second one's head is not whole"),
        (GET + POST, (2, len(GET) + len(POST)), "no length means no body"),
        (b"", (0, 0), "nothing yet"),
        (b"POST / HTTP/1.1\r\nX-Content-Length: 9\r\n\r\n", (1, 40), "a header whose name only ends like it"),
    ],
)
def test_a_request_ends_where_its_length_says(data: bytes, found: tuple[int, int], why: str) -> None:
    assert ends_of_requests(data) == found, why


@pytest.mark.parametrize(
    "flags",
    [("--delay-ms", "-1"), ("--stall-ms", "-5"), ("--stall-ms", "1000"), ("--stall-ms", "20", "--every-ms", "10")],
)
def test_a_stall_that_never_ends_is_refused(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="cannot be held"):
        parse("null", "", ["--answer", str(answer_file(tmp_path)), *flags])


@pytest.mark.parametrize("data", [None, b""])
def test_an_answer_file_without_an_answer_is_refused(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "none.bin").write_bytes(data)
    with pytest.raises(UsageError, match="--answer wants a file of sampled answers"):
        parse("null", "", ["--answer", str(tmp_path / "none.bin")])


def test_a_cut_off_file_of_what_was_seen_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seen.bin").write_bytes(bytes(24))
    with pytest.raises(UsageError, match="does not hold what a null server has seen"):
        read_seen(tmp_path / "seen.bin")


def test_a_clients_window_is_opened_by_what_it_has_sent_and_never_further() -> None:
    speech = Grpc(NullOptions(0, {}, BODY, Hold(), None))
    speech.received(PREFACE)
    sent = opened = 0
    for stream in range(1, 4001, 2):
        request = frame(HEADERS, END_HEADERS, stream, bytes(100)) + frame(DATA, END_STREAM, stream, bytes(1000))
        whole, said = speech.received(request[:50])
        assert (whole, said) == ([], b"")
        whole, said = speech.received(request[50:])
        assert whole == [stream]
        sent += 1000
        opened += int.from_bytes(said[9:]) if said else 0
        assert said[:4] in (b"", bytes([0, 0, 4, WINDOW_UPDATE]))
    assert 1_000_000 < opened <= sent


def answer_file(folder: Path, body: bytes = BODY) -> Path:
    write_bytes(folder / "answer.bin", answer_frame(0, "r0000", ANSWERED, body))
    return folder / "answer.bin"


@contextmanager
def http(folder: Path, *held: str, body: bytes = BODY) -> Iterator[NullServer]:
    with null_server("http", answer_file(folder, body), folder / "null", [], *held) as server:
        yield server


def connected(server: NullServer) -> socket.socket:
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """(head, body) of the next answer, by its Content-Length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _some(connection, 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    body = b""
    while len(body) < length:
        body += _some(connection, length - len(body))
    return head, body


def _some(connection: socket.socket, most: int) -> bytes:
    data = connection.recv(most)
    assert data, "the server closed the connection"
    return data


@pytest.mark.e2e
class TestHttp:
    def test_pipelined_requests_to_any_path_have_the_same_answer_on_the_same_connection(self, tmp_path: Path) -> None:
        with http(tmp_path) as server, connected(server) as connection:
            connection.sendall(POST * 3 + GET)
            answers = [read_answer(connection) for _ in range(4)]
            connection.sendall(POST)
            answers.append(read_answer(connection))
        assert {body for _, body in answers} == {BODY}
        (head,) = {head for head, _ in answers}
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Inference-Header-Content-Length: 7\r\n" in head
        assert head.count(b"Content-Length: 263\r\n") == 1 and b"999" not in head

    def test_a_request_that_comes_in_pieces_is_answered_once(self, tmp_path: Path) -> None:
        with http(tmp_path, "--delay-ms", "1") as server, connected(server) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(POST), 7):
                connection.sendall(POST[start : start + 7])
            assert read_answer(connection)[1] == BODY
        assert len(server.seen()) == 1

    def test_an_answer_larger_than_a_socket_takes_arrives_whole(self, tmp_path: Path) -> None:
        body = bytes(range(256)) * 80_000
        with http(tmp_path, body=body) as server, connected(server) as connection:
            connection.sendall(POST * 2)
            assert read_answer(connection)[1] == body
            assert read_answer(connection)[1] == body

    def test_a_client_that_leaves_while_its_answer_is_held_takes_nobody_along(self, tmp_path: Path) -> None:
        with http(tmp_path, "--delay-ms", "50") as server, connected(server) as patient:
            with connected(server) as impatient:
                impatient.sendall(POST)
            patient.sendall(POST)
            assert read_answer(patient)[1] == BODY

    def test_the_delay_is_the_one_that_the_client_waits_for(self, tmp_path: Path) -> None:
        waited = []
        with http(tmp_path, "--delay-ms", "20") as server, connected(server) as connection:
            for _ in range(10):
                began = time.monotonic_ns()
                connection.sendall(POST)
                read_answer(connection)
                waited.append(time.monotonic_ns() - began)
        told = np.diff(server.seen())[:, 0]
        assert len(told) == 10
        assert (told >= 20e6).all()
        assert (told <= waited).all()  # what the server tells lies within what the client saw

    def test_all_answers_of_a_stall_come_at_its_end(self, tmp_path: Path) -> None:
        with http(tmp_path, "--stall-ms", "200", "--every-ms", "250") as server, connected(server) as connection:
            for _ in range(100):
                connection.sendall(POST)
                time.sleep(0.005)
            for _ in range(100):
                read_answer(connection)
        arrived, answered = server.seen().T
        held = answered[answered - arrived > 5e6]
        around_an_end = (held - held.min() + 25e6) % 250e6
        assert len(held) > 50  # most of the time is stall
        assert (answered - arrived).max() > 150e6
        assert (around_an_end < 50e6).all()


@pytest.mark.e2e
class TestGrpc:
    def test_every_method_is_answered_with_the_bytes_as_they_are(self, tmp_path: Path) -> None:
        with (
            null_server("grpc", answer_file(tmp_path), tmp_path / "null", []) as server,
            grpc.insecure_channel(server.address) as channel,
        ):
            for method in ("/inference.GRPCInferenceService/ModelInfer", "/any.Service/Method"):
                assert channel.unary_unary(method)(b"whatever", timeout=10) == BODY

    def test_an_answer_larger_than_every_window_arrives_whole(self, tmp_path: Path) -> None:
        body = bytes(range(256)) * 80_000
        with (
            null_server("grpc", answer_file(tmp_path, body), tmp_path / "null", []) as server,
            grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel,
        ):
            call = channel.unary_unary("/any.Service/Method")
            for future in [call.future(b"", timeout=20) for _ in range(3)]:
                assert future.result() == body

    def test_requests_of_many_megabytes_are_taken_on_one_connection(self, tmp_path: Path) -> None:
        with (
            null_server("grpc", answer_file(tmp_path), tmp_path / "null", []) as server,
            grpc.insecure_channel(server.address, [("grpc.max_send_message_length", -1)]) as channel,
        ):
            call = channel.unary_unary("/any.Service/Method")
            for _ in range(3):
                assert call(bytes(20_000_000), timeout=20) == BODY

    def test_a_call_that_is_cancelled_while_it_is_held_takes_nobody_along(self, tmp_path: Path) -> None:
        with (
            null_server("grpc", answer_file(tmp_path), tmp_path / "null", [], "--delay-ms", "200") as server,
            grpc.insecure_channel(server.address) as channel,
        ):
            call = channel.unary_unary("/any.Service/Method")
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                call(b"", timeout=0.1)
            assert call(b"", timeout=10) == BODY
        assert len(server.seen()) == 2

    def test_who_does_not_speak_http2_is_shown_the_door(self, tmp_path: Path) -> None:
        with (
            null_server("grpc", answer_file(tmp_path), tmp_path / "null", []) as server,
            connected(server) as connection,
        ):
            connection.sendall(POST)
            while connection.recv(4096):
                pass  # its settings

    def test_calls_at_once_are_held_side_by_side_and_told(self, tmp_path: Path) -> None:
        with (
            null_server("grpc", answer_file(tmp_path), tmp_path / "null", [], "--delay-ms", "300") as server,
            grpc.insecure_channel(server.address) as channel,
        ):
            call = channel.unary_unary("/any.Service/Method")
            began = time.monotonic()
            for future in [call.future(b"", timeout=20) for _ in range(40)]:
                assert future.result() == BODY
            took = time.monotonic() - began
        told = np.diff(server.seen())[:, 0]
        assert len(told) == 40
        assert (told >= 300e6).all()
        assert took < 40 * 0.3 / 4


@pytest.mark.e2e
class TestTls:
    def test_pipelined_requests_and_a_large_answer_pass_encrypted(self, tmp_path: Path) -> None:
        body = bytes(range(256)) * 40_000
        shown = self_made(tmp_path / "tls")
        trusted = ssl.create_default_context(cafile=str(shown.certificate))
        with (
            null_server("http", answer_file(tmp_path, body), tmp_path / "null", [], shown=shown) as server,
            trusted.wrap_socket(connected(server), server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(POST * 2)
            assert [read_answer(connection)[1] for _ in range(2)] == [body, body]

    def test_a_held_answer_is_told_with_the_moment_when_the_kernel_had_the_request(self, tmp_path: Path) -> None:
        shown = self_made(tmp_path / "tls")
        trusted = ssl.create_default_context(cafile=str(shown.certificate))
        held, began = ("--delay-ms", "20"), 0
        with (
            null_server("http", answer_file(tmp_path), tmp_path / "null", [], *held, shown=shown) as server,
            trusted.wrap_socket(connected(server), server_hostname="127.0.0.1") as connection,
        ):
            began = time.monotonic_ns()
            connection.sendall(POST)
            read_answer(connection)
            waited = time.monotonic_ns() - began
        ((arrived, answered),) = server.seen()
        assert began <= arrived and 20e6 <= answered - arrived <= waited

    def test_grpc_is_spoken_under_tls_too(self, tmp_path: Path) -> None:
        shown = self_made(tmp_path / "tls")
        trusted = grpc.ssl_channel_credentials(shown.certificate.read_bytes())
        with (
            null_server("grpc", answer_file(tmp_path), tmp_path / "null", [], shown=shown) as server,
            grpc.secure_channel(server.address, trusted) as channel,
        ):
            for _ in range(3):
                assert channel.unary_unary("/any.Service/Method")(b"whatever", timeout=10) == BODY

    def test_who_speaks_no_tls_is_shown_the_door_and_nobody_else(self, tmp_path: Path) -> None:
        shown = self_made(tmp_path / "tls")
        trusted = ssl.create_default_context(cafile=str(shown.certificate))
        with null_server("http", answer_file(tmp_path), tmp_path / "null", [], shown=shown) as server:
            with connected(server) as plain:
                plain.sendall(POST)
                while plain.recv(4096):
                    pass
            with trusted.wrap_socket(connected(server), server_hostname="127.0.0.1") as connection:
                connection.sendall(POST)
                assert read_answer(connection)[1] == BODY


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--certificate", "a.pem"), "belong together"),
        (("--key", "a.key"), "belong together"),
        (
            ("--certificate", "gone.pem", "--key", "gone.key"),
            r"--certificate gone\.pem and --key gone\.key cannot be used",
        ),
    ],
)
def test_a_certificate_that_is_none_is_refused(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse("null", "", ["--answer", str(answer_file(tmp_path)), *flags])


@pytest.mark.e2e
@pytest.mark.parametrize("module", ["loadtest.null.http", "loadtest.null.grpc"])
def test_sigterm_ends_it_well_and_a_port_in_use_is_a_sentence(tmp_path: Path, module: str) -> None:
    command = [sys.executable, "-m", module, "--answer", str(answer_file(tmp_path))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            port = first.stdout.readline().strip()
            second = subprocess.run(
                [*command, "--port", port], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
            )
            assert second.returncode == 3
            assert f"error: port {port} cannot be used" in second.stderr
            assert second.stderr.splitlines()[-1].startswith("error: port")
        finally:
            first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0
