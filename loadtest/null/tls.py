"""A null server's protocol under TLS. Pure but for the keys: encrypted bytes in, encrypted bytes out.

The loop's sockets stay as they are, so that the kernel's stamp of an arrival is as exact as without encryption.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from contract.errors import UsageError
from loadtest.null.speech import Speech

PROTOCOLS = ["h2", "http/1.1"]  # of which the client takes what it speaks (ALPN)
CHUNK = 1 << 16


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side with its own certificate, PEM both. Raises UsageError where they are none, or no pair."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError too
        raise UsageError(f"--certificate {certificate} and --key {key} cannot be used: {error}") from None
    made.set_alpn_protocols(PROTOCOLS)
    return made


class Encrypted:
    """One connection: what arrives is decrypted for ``inner``, what it says is encrypted."""

    def __init__(self, context: ssl.SSLContext, inner: Speech) -> None:
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=True)
        self._inner = inner
        self._greeted = False

    def opening(self) -> bytes:
        return b""  # the client begins

    def received(self, data: bytes) -> tuple[list[int], bytes]:
        """Raises ssl.SSLError where the client does not speak TLS, or ends it."""
        self._arrived.write(data)
        first = b""
        if not self._greeted:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return [], self._leaving.read()
            self._greeted = True
            first = self._inner.opening()
        requests, at_once = self._inner.received(self._decrypted())
        return requests, self._encrypted(first + at_once)

    def answer(self, request: int) -> bytes:
        return self._encrypted(self._inner.answer(request))

    def _decrypted(self) -> bytes:
        parts = []
        try:
            while part := self._tls.read(CHUNK):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)

    def _encrypted(self, data: bytes) -> bytes:
        if data:
            self._tls.write(data)
        return self._leaving.read()
