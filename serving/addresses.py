"""Where a server that somebody else runs is found: ``http://HOST:8000,grpc://HOST:8001``."""

from __future__ import annotations

from urllib.parse import urlsplit

from contract.errors import UsageError


def is_address(text: str) -> bool:
    """Whether a flag's value is an address and not the name of a way to start a server."""
    return "://" in text


def parse_addresses(text: str, usual: dict[str, int]) -> tuple[str, dict[str, int]]:
    """(host, port by purpose). A purpose that is not named has its usual port. Raises UsageError."""
    known = ", ".join(f"{purpose}://HOST:{port}" for purpose, port in usual.items())
    host, ports = "", dict(usual)
    for part in text.split(","):
        try:
            found = urlsplit(part.strip())
            port = found.port
        except ValueError:
            raise UsageError(f"'{part}' is not an address; known are {known}") from None
        if found.scheme not in usual or not found.hostname or found.path.strip("/"):
            raise UsageError(f"'{part}' is not an address; known are {known}")
        if host and found.hostname != host:
            raise UsageError(f"'{text}' names two hosts, {host} and {found.hostname}; one server has one")
        host = found.hostname
        ports[found.scheme] = port or usual[found.scheme]
    return host, ports
