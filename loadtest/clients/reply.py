"""What came back for one request, and the names of the ways in which it can fail to."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import NamedTuple

NO_ANSWER = -1  # status of a request that was not answered

TIMEOUT = "timeout"
REFUSED = "refused"
RESET = "reset"
CLOSED_EARLY = "closed early"
MALFORMED = "malformed answer"
UNKNOWN_HOST = "unknown host"
UNREACHABLE = "unreachable"
TLS = "tls"
CLOSED = "client closed"

# The first row that fits an exception names it.
CLASSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (TimeoutError, TIMEOUT),
    (ConnectionRefusedError, REFUSED),
    ((ConnectionResetError, ConnectionAbortedError, BrokenPipeError), RESET),
    ((socket.gaierror, UnicodeError), UNKNOWN_HOST),
    (ssl.SSLError, TLS),
)


class Reply(NamedTuple):
    """One answer, or why there is none. A tuple, because one is made per request and is read by everybody.

    ``error`` is empty for a good answer, else the class of the failure: a name of this module, ``http 503``,
    ``grpc UNAVAILABLE``. ``status`` is the HTTP status or gRPC code, ``NO_ANSWER`` where none came. ``headers`` may be
    shared between replies: read only.
    """

    status: int
    error: str
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 (read only, see above)
    first_byte_ns: int = 0  # CLOCK_MONOTONIC when the answer began to arrive; 0 where nobody could see it
    done_ns: int = 0  # and when the last of it had been read, before anybody looked at it; 0 where there is none
    retries: int = 0  # how often the request was sent again after a failure
    reopened: int = 0  # how often it found a kept connection closed before anything was answered, and opened another


def failure(error: str, first_byte_ns: int = 0) -> Reply:
    """The reply to a request that was not answered, or not to the end."""
    return Reply(NO_ANSWER, error, b"", first_byte_ns=first_byte_ns)


def error_class(error: BaseException) -> str:
    """The stable name of an exception of a socket."""
    for kinds, name in CLASSES:
        if isinstance(error, kinds):
            return name
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL):
        return UNREACHABLE
    return errno.errorcode.get(number or 0, type(error).__name__)
