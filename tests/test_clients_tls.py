"""TLS of both protocols with real handshakes: who is trusted, who shows a certificate, what a bad file says."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.client import Client
from contract.errors import UsageError
from loadtest.clients import Reply, connect
from tests.clients_peers import answer, in_pieces, scripted, until_closed

METHOD = "/test.Service/Ask"
NAME = "model.example.com"


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority with a server's and a client's certificate; and another authority that nobody asked."""
    folder = tmp_path_factory.mktemp("pki")
    for authority in ("ca", "other"):
        own = ["-keyout", str(folder / f"{authority}.key"), "-out", str(folder / f"{authority}.pem")]
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}", *own)
    for who, names in (("server", f"DNS:{NAME},IP:127.0.0.1"), ("elsewhere", "DNS:elsewhere.test"), ("own", "DNS:own")):
        (folder / "names").write_text(f"subjectAltName={names}")
        asked, key, signed = (str(folder / f"{who}.{end}") for end in ("csr", "key", "pem"))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={who}", "-keyout", key, "-out", asked)
        by = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial"]
        openssl("x509", "-req", "-in", asked, "-days", "2", *by, "-extfile", str(folder / "names"), "-out", signed)
    openssl("rsa", "-aes128", "-passout", "pass:x", "-in", str(folder / "own.key"), "-out", str(folder / "locked.key"))
    return folder


def context(pki: Path, who: str = "server", asks: bool = False) -> ssl.SSLContext:
    """The server's side; ``asks`` for a certificate of the client."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pki / f"{who}.pem", pki / f"{who}.key")
    if asks:
        made.load_verify_locations(pki / "ca.pem")
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def trusting(pki: Path, **more: Any) -> Client:
    return Client(tls=True, ca=pki / "ca.pem", **more)


def ask(address: str, settings: Client, body: bytes = b"", protocol: str = "http") -> Reply:
    connection = connect(protocol, address, METHOD, 1, settings)
    try:
        return connection(body, {})
    finally:
        connection.close()


def test_large_bodies_pass_encrypted_both_ways(pki: Path) -> None:
    large = os.urandom(3_000_000)
    with scripted([answer(large), in_pieces(answer(large), 5_000)], tls=context(pki)) as server:
        connection = connect("http", server.address, METHOD, 1, trusting(pki))
        for _ in range(2):
            assert connection(large, {}).body == large
        connection.close()
        assert [request.partition(b"\r\n\r\n")[2] == large for request in server.requests] == [True, True]


@pytest.mark.parametrize(
    ("who", "settings"),
    [
        ("server", {"ca": "other.pem"}),  # an authority that did not sign it
        ("server", {}),  # the system's authorities neither
        ("elsewhere", {"ca": "ca.pem"}),  # another host's certificate
        ("server", {"ca": "ca.pem", "server_name": "another.example.com"}),
    ],
)
def test_a_server_that_is_not_the_one_it_should_be_gets_nothing(pki: Path, who: str, settings: dict[str, str]) -> None:
    given = {name: pki / value if name == "ca" else value for name, value in settings.items()}
    with scripted([answer(b"")], tls=context(pki, who)) as server:
        assert ask(server.address, Client(tls=True, **given)).error == "tls"
        assert server.requests == []


def test_the_name_may_be_another_than_the_host(pki: Path) -> None:
    with scripted([answer(b"there")], tls=context(pki)) as server:
        assert ask(server.address, trusting(pki, server_name=NAME)).body == b"there"


def test_a_server_that_asks_for_a_certificate_gets_ours(pki: Path) -> None:
    with scripted([answer(b"there")], [answer(b"there")], tls=context(pki, asks=True)) as server:
        own = trusting(pki, certificate=pki / "own.pem", key=pki / "own.key")
        assert ask(server.address, own).body == b"there"
        assert ask(server.address, trusting(pki)).error in ("tls", "reset", "closed early")


def test_a_handshake_that_never_ends_is_a_timeout(pki: Path) -> None:
    with scripted([until_closed]) as server:
        assert ask(server.address, trusting(pki, connect_timeout_s=0.2)).error == "timeout"


def test_a_server_without_tls_is_a_class_of_its_own(pki: Path) -> None:
    with scripted([answer(b"")]) as plain, scripted([answer(b"")], tls=context(pki)) as encrypted:
        assert ask(plain.address, trusting(pki, connect_timeout_s=1.0)).error in ("tls", "timeout")
        assert ask(encrypted.address, Client(timeout_s=1.0)).error in ("closed early", "reset", "malformed answer")


class Echo(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


@contextmanager
def grpcio_server(pki: Path, asks: bool) -> Iterator[str]:
    """grpcio's own server over TLS."""
    pair = ((pki / "server.key").read_bytes(), (pki / "server.pem").read_bytes())
    authority = (pki / "ca.pem").read_bytes() if asks else None
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Echo()], options=options)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], authority, asks))
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def test_grpc_is_encrypted_too_and_shows_its_certificate(pki: Path) -> None:
    large = os.urandom(1_000_000)
    own = trusting(pki, certificate=pki / "own.pem", key=pki / "own.key", server_name=NAME)
    with grpcio_server(pki, asks=True) as address:
        assert ask(address, own, large, "grpc").body == large
        assert ask(address, trusting(pki), b"", "grpc").error in ("tls", "reset", "closed early")
    with grpcio_server(pki, asks=False) as address:
        assert ask(address, Client(tls=True, ca=pki / "other.pem"), b"", "grpc").error == "tls"


BAD: dict[str, tuple[dict[str, str], str]] = {
    "no ca": ({"ca": "missing.pem"}, r"client\.ca .*missing\.pem cannot be read: no such file"),
    "ca that is none": ({"ca": "names"}, r"client\.ca .*names.*PEM"),
    "no certificate": ({"certificate": "missing.pem", "key": "own.key"}, r"client\.certificate .*cannot be read"),
    "key that is none": ({"certificate": "own.pem", "key": "names"}, r"client\.key .* is not PEM"),
    "another's key": ({"certificate": "own.pem", "key": "ca.key"}, r"are no pair: .*key values mismatch"),
    "locked key": ({"certificate": "own.pem", "key": "locked.key"}, r"not encrypted"),
    "folder": ({"ca": "."}, r"client\.ca .* cannot be read"),
}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_name_before_anything_is_sent(pki: Path, name: str, protocol: str) -> None:
    files, words = BAD[name]
    paths: dict[str, Any] = {key: pki / value for key, value in files.items()}
    with pytest.raises(UsageError, match=words):
        connect(protocol, "127.0.0.1:1", METHOD, 1, Client(tls=True, **paths))
