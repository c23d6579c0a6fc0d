"""Where a server that somebody else runs is found: ``http://HOST:8000,grpc://HOST:8001``."""

from __future__ import annotations

from urllib.parse import urlsplit

from contract.errors import UsageError

# Ports that a server has only where its address names them: what tells beside it what it uses (k8s/components/usage).
OPTIONAL = {"usage": 9102}


def is_address(text: str) -> bool:
    """Whether a flag's value is an address and not the name of a way to start a server."""
    return "://" in text


def parse_addresses(text: str, usual: dict[str, int]) -> tuple[str, dict[str, int]]:
    """(host, port by purpose). One of the usual purposes that is not named has its usual port. Raises UsageError."""
    known = ", ".join(f"{purpose}://HOST:{port}" for purpose, port in usual.items())
    host, ports, named = "", dict(usual), usual | OPTIONAL
    for part in text.split(","):
        try:
            found = urlsplit(part.strip())
            port = found.port
        except ValueError:
            raise UsageError(f"'{part}' is not an address; known are {known}") from None
        if found.scheme not in named or not found.hostname or found.path.strip("/"):
            raise UsageError(f"'{part}' is not an address; known are {known}")
        if host and found.hostname != host:
            raise UsageError(f"'{text}' names two hosts, {host} and {found.hostname}; one server has one")
        host = found.hostname
        ports[found.scheme] = port or named[found.scheme]
    return host, ports
