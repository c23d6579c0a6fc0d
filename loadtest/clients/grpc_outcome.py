"""Headers, message and trailers of a unary gRPC call -> one Reply. Pure.

After gRPC's documents PROTOCOL-HTTP2, http-grpc-status-mapping and statuscodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from loadtest.clients.reply import MALFORMED, Reply, failure

CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
# What stands for a status that a proxy on the way does not give.
BY_HTTP = {400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED"} | dict.fromkeys(
    (429, 502, 503, 504), "UNAVAILABLE"
)
# RST_STREAM's code -> status; INTERNAL for the others.
BY_RESET = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}
MESSAGE_HEAD = 5  # bytes: compressed or not, length


def failed(name: str, first_byte_ns: int = 0) -> Reply:
    """The reply to a call that ended with this status."""
    return Reply(CODES.index(name), f"grpc {name}", b"", first_byte_ns=first_byte_ns)


def message(body: bytes) -> bytes:
    """A message as a DATA frame carries it."""
    return b"\0" + len(body).to_bytes(4, "big") + body


def outcome(headers: Mapping[str, str], data: bytes, first_byte_ns: int, done_ns: int) -> Reply:
    """What a call came to whose stream has ended; ``headers`` are those before and behind the message, together."""
    stated = headers.get("grpc-status", "")
    if stated == "0":
        if len(data) < MESSAGE_HEAD or data[0] or int.from_bytes(data[1:5], "big") != len(data) - MESSAGE_HEAD:
            return failure(MALFORMED, first_byte_ns)
        return Reply(0, "", data[MESSAGE_HEAD:], first_byte_ns=first_byte_ns, done_ns=done_ns)
    if stated:
        number = int(stated) if stated.isascii() and stated.isdigit() else len(CODES)
        return failed(CODES[number] if number < len(CODES) else "UNKNOWN", first_byte_ns)
    http = headers.get(":status", "")
    if http in ("", "200"):
        return failure(MALFORMED, first_byte_ns)
    return failed(BY_HTTP.get(int(http) if http.isascii() and http.isdigit() else 0, "UNKNOWN"), first_byte_ns)


def timeout_value(left_ns: int) -> str:
    """``grpc-timeout`` for what is left, in milliseconds; at least one, at most the eight digits that it may have."""
    return f"{min(max(left_ns // 1_000_000, 1), 99_999_999)}m"
