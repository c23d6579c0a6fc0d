"""An address -> an open connection to it, plain or as [client] of models.toml says: TLS, headers, time limits."""

from __future__ import annotations

import http.client
import os
import ssl
from pathlib import Path
from typing import Any

import grpc

from contract.client import Client
from contract.errors import UsageError
from contract.hosts import host_of
from contract.request_headers import with_secrets

PLAIN = Client()


class HttpConnection(http.client.HTTPConnection):
    """One that may be encrypted, to a server whose certificate may bear another name than its address."""

    def __init__(self, address: str, client: Client, timeout_s: float) -> None:
        super().__init__(host_of(address), int(address.rpartition(":")[2]), timeout=timeout_s)
        self._context = _context(client) if client.tls else None
        self._name = client.server_name or self.host

    def connect(self) -> None:
        super().connect()
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def grpc_channel(address: str, client: Client) -> Any:
    """A channel of raw bytes; message sizes unlimited, as the servers' own are."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    options += [("grpc.default_authority", value) for name, value in headers_of(client).items() if _is_host(name)]
    if not client.tls:
        return grpc.insecure_channel(address, options=options)
    if client.server_name:
        options.append(("grpc.ssl_target_name_override", client.server_name))
    files = (client.ca, client.key, client.certificate)
    return grpc.secure_channel(
        address, grpc.ssl_channel_credentials(*(path and _read(path) for path in files)), options=options
    )


def headers_of(client: Client) -> dict[str, str]:
    """The headers of every request. Raises UsageError for a variable that is not set; it never holds a value."""
    return with_secrets(client.headers, os.environ)


def metadata_of(client: Client) -> list[tuple[str, str]]:
    """The same as gRPC has them: in small letters; the host is its channel's authority."""
    return [(name.lower(), value) for name, value in headers_of(client).items() if not _is_host(name)]


def _is_host(name: str) -> bool:
    """Whether a header names the host: ingresses that stand before many models go by it."""
    return name.lower() == "host"


def _context(client: Client) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(cafile=client.ca)  # which checks certificate and name
        if client.certificate and client.key:
            made.load_cert_chain(client.certificate, client.key, password=lambda: "")  # never asks the terminal
    except OSError as error:  # ssl.SSLError too
        names = ", ".join(str(path) for path in (client.ca, client.certificate, client.key) if path)
        raise UsageError(f"[client]: {names or 'the system'} holds no certificates and key as PEM: {error}") from None
    return made


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"[client]: {path} cannot be read: {error.strerror}; name another file") from None
