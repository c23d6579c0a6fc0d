"""What a request took on the loopback wire: packets are read, joined to exchanges, and seen of real connections."""

from __future__ import annotations

import socket
import struct

import pytest

from bench.generators.port_filter import attach
from bench.generators.wire import ETH_P_IP, INFERENCE, Packet, Tap, Wire, exchanges, opened, packet, summed_up
from contract.errors import ServerError, UsageError

SERVER = 8000
ANSWER = b"HTTP/1.1 200 OK\r\n"[: len(INFERENCE)]


def raw(source: int, target: int, payload: bytes, options: int = 3, protocol: int = socket.IPPROTO_TCP) -> bytes:
    """An IPv4 packet with so many words of TCP options."""
    tcp = struct.pack("!HHIIBBHHH", source, target, 0, 0, (5 + options) << 4, 0x18, 0, 0, 0) + b"\0" * 4 * options
    length = 20 + len(tcp) + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, protocol, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    return head + tcp + payload


def asks(at_us: int, client: int, begins: bytes = INFERENCE) -> Packet:
    return Packet(at_us * 1000, client, SERVER, begins)


def answers(at_us: int, client: int) -> Packet:
    return Packet(at_us * 1000, SERVER, client, ANSWER)


@pytest.mark.parametrize("options", [0, 3, 10])
def test_a_packet_is_known_by_its_ports_and_how_its_payload_begins(options: int) -> None:
    whole = raw(41000, SERVER, b"POST /v2/models/words/infer HTTP/1.1\r\n", options)
    assert packet(5, whole) == Packet(5, 41000, SERVER, INFERENCE)
    assert packet(5, whole[:80]) == Packet(5, 41000, SERVER, INFERENCE[: 80 - 40 - 4 * options])  # cut by the reader


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x45",
        raw(1, 2, b""),  # only an acknowledgement
        raw(1, 2, b"question", protocol=socket.IPPROTO_UDP),
        b"\x60" + raw(1, 2, b"version six")[1:],
        raw(1, 2, b"cut")[:30],
    ],
)
def test_what_is_no_tcp_or_carries_nothing_is_no_packet(data: bytes) -> None:
    assert packet(0, data) is None


def test_a_request_in_two_packets_waits_from_its_last_and_connections_are_told_apart() -> None:
    found = exchanges(
        [asks(0, 1), asks(5, 2), asks(20, 1, b'{"inputs":['), answers(105, 2), answers(220, 1), answers(230, 1)], SERVER
    )
    assert list(found) == [(1, 0, 100_000), (2, 20_000, 200_000)]


def test_other_questions_on_the_same_connection_are_not_counted() -> None:
    found = exchanges([asks(0, 1, b"GET /v2/models/w"), answers(9, 1), asks(10, 1), answers(60, 1)], SERVER)
    assert list(found) == [(1, 0, 50_000)]


def test_the_wire_is_summed_up_by_medians_and_silence_is_no_measurement() -> None:
    assert summed_up([(2, 10_000, 300_000), (2, 30_000, 500_000), (1, 0, 9_000_000)]) == Wire(3, 2.0, 10.0, 500.0)
    with pytest.raises(ServerError, match="no request was seen on the loopback wire"):
        summed_up([])


@pytest.fixture
def permitted() -> None:
    try:
        opened().close()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("permitted")
def test_real_requests_are_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
        with Tap(port) as tap, socket.create_connection(("127.0.0.1", port)) as client:
            server, _ = listening.accept()
            with server:
                for _ in range(3):
                    client.sendall(INFERENCE + b"words/infer HTTP/1.1\r\n\r\n")
                    assert server.recv(1000)  # the first piece has been read before the second is sent
                    client.sendall(b"tensors")
                    assert server.recv(1000)
                    server.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    assert client.recv(1000)
        heard = tap.wire()
    assert (heard.requests, heard.pieces) == (3, 2.0)
    assert heard.sending_us > 0 and heard.answering_us > 0
    assert heard.whole_us == heard.sending_us + heard.answering_us


@pytest.mark.usefixtures("permitted")
def test_the_kernel_gives_the_packets_of_one_port_alone() -> None:
    with (
        opened() as tapped,
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        port = int(one.getsockname()[1])
        attach(tapped, port, 60)
        tapped.bind(("lo", ETH_P_IP))
        for listening in (two, one):
            with socket.create_connection(listening.getsockname()) as client:
                server, _ = listening.accept()
                with server:
                    client.sendall(b"question" * 20)
                    assert server.recv(1000)
        tapped.settimeout(10)
        heard = [tapped.recv(1000)]
        while packet(0, heard[-1]) is None:  # those that open the connection
            heard.append(tapped.recv(1000))
    assert all(port in struct.unpack_from("!HH", data, 20) for data in heard)
    assert len(heard[-1]) == 60  # of over 200


@pytest.mark.usefixtures("permitted")
def test_what_goes_wrong_while_packets_are_fetched_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError("no niceness here")

    monkeypatch.setattr("bench.generators.wire.os.setpriority", refused)
    with pytest.raises(PermissionError, match="no niceness here"), Tap(1):
        pass
    with pytest.raises(KeyError), Tap(1):  # what the block itself raised comes first
        raise KeyError


def test_a_tap_that_cannot_begin_leaves_no_socket_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # takes the options, and no such address
    monkeypatch.setattr("bench.generators.wire.opened", lambda: other)
    with pytest.raises(TypeError), Tap(1):
        pass
    assert other.fileno() == -1


def test_who_may_not_listen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("bench.generators.wire.socket.socket", refused)
    with pytest.raises(UsageError, match="only root may listen"), Tap(1):
        pass
