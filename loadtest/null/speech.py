"""What a null server's loop needs of a protocol."""

from __future__ import annotations

from typing import Protocol


class Speech(Protocol):
    """One connection's side of a protocol. Pure: bytes in, bytes out."""

    def opening(self) -> bytes:
        """What the server says first."""

    def received(self, data: bytes) -> tuple[list[int], bytes]:
        """The requests that have become whole, and what is to be said at once. Raises ValueError: not this protocol."""

    def answer(self, request: int) -> bytes:
        """The answer to a request, as far as it may be sent now."""
