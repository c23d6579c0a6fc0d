"""A certificate that the null servers of one certification show: made for it, and trusted by nobody else."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from contract.client import Client
from contract.errors import LoadproofError

LIMIT_S = 30.0
DAYS = 2  # it is made anew for each certification


@dataclass(frozen=True)
class SelfMade:
    """PEM files. The certificate is its own authority, for 127.0.0.1."""

    certificate: Path
    key: Path


def shown_to(client: Client, folder: Path) -> tuple[SelfMade | None, Client]:
    """What the null servers of a ``client`` show, made below ``folder``, and the client that trusts it; without TLS
    nothing, and the client as it is. Raises as `self_made`."""
    if not client.tls:
        return None, client
    made = self_made(folder / "tls")
    return made, client.model_copy(update={"ca": made.certificate.resolve()})


def self_made(folder: Path) -> SelfMade:
    """Make one in ``folder``, with a key as most servers have it (P-256).

    Raises LoadproofError where there is no command `openssl`, or it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = SelfMade(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", str(DAYS), "-subj", "/CN=null server", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except OSError as error:
        raise LoadproofError(
            f"a null server under TLS needs a certificate, and openssl cannot be run ({error.strerror}); "
            "install it (Debian: apt-get install openssl)"
        ) from None
    if ended.returncode != 0:
        raise LoadproofError(f"openssl made no certificate for the null server: {ended.stderr.strip()[-300:]}")
    return made
