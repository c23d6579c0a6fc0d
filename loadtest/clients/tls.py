"""What [client] says about TLS -> a context that checks the server's certificate and name."""

from __future__ import annotations

from pathlib import Path

from gevent import ssl

from contract.client import Client
from contract.errors import UsageError


def context(client: Client, protocol: str) -> ssl.SSLContext | None:
    """For connections that speak ``protocol`` (its name in ALPN); None where nothing is encrypted.

    Raises UsageError for a file that is not there or not what it should be.
    """
    if not client.tls:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificate and name; gevent's, not the blocking one
    if client.ca is None:
        made.load_default_certs()
    else:
        try:
            made.load_verify_locations(client.ca)
        except OSError as error:  # ssl.SSLError too
            raise UsageError(f"client.ca {client.ca} {_wrong(error)}; it must hold certificates as PEM") from None
    made.set_alpn_protocols([protocol])
    if client.certificate and client.key:
        read(client.certificate, "client.certificate")
        read(client.key, "client.key")
        try:
            made.load_cert_chain(client.certificate, client.key, password=_refuse_password)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"client.certificate {client.certificate} and client.key {client.key} are no pair: {_wrong(error)}; "
                "both must be PEM, the key not encrypted"
            ) from None
    return made


def read(path: Path | None, name: str) -> bytes | None:
    """The bytes of a PEM file, None where none is named. Raises UsageError."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{name} {path} {_wrong(error)}; name another file in [client]") from None
    if b"-----BEGIN " not in data:
        raise UsageError(f"{name} {path} is not PEM: it has no line '-----BEGIN …-----'")
    return data


def _refuse_password() -> str:
    raise ValueError("the key is encrypted")


def _wrong(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return f"cannot be read: {str(reason).lower().replace('_', ' ')}"
