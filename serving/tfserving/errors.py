"""Status codes, and the error texts that clients of TensorFlow Serving know by heart.

Every failure that a request can meet is a `StatusError`; gRPC turns its code into a grpc.StatusCode of the
same name, REST turns it into an HTTP status. The texts are part of the interface: clients and health checks
match on them, so they are written down once, here, and tested word for word. The texts of the JSON rules
stand beside those rules in `json_tensors` and `json_text`.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterable

_LOG = logging.getLogger(__name__)


class Code(enum.IntEnum):
    """tensorflow.error.Code, which has the numbers of grpc.StatusCode."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class StatusError(Exception):
    """A request (or a load) that ends with a code and a message; nothing else reaches the client."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class SetupError(Exception):
    """A server that cannot start; ``exit_code`` 2 is a wrong flag or file, 3 is a port that cannot be had."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def invalid(message: str) -> StatusError:
    """INVALID_ARGUMENT, by far the commonest failure."""
    return StatusError(Code.INVALID_ARGUMENT, message)


def as_status(error: Exception) -> StatusError:
    """A StatusError as it is. Anything else is a fault of this server: its log hears all, the client only that."""
    if isinstance(error, StatusError):
        return error
    _LOG.error("a request met a fault of this server", exc_info=error)
    return StatusError(Code.INTERNAL, "The embedded server failed on this request; its log says why.")


def unparsable(message: str) -> StatusError:
    """Bytes that are no message: the code is that of gRPC for C++, which says no word to it."""
    return StatusError(Code.INTERNAL, f"The request is not a {message}.")


def joined(names: Iterable[str]) -> str:
    """Names as TensorFlow Serving lists a set of them: sorted, comma without space."""
    return ",".join(sorted(names))


def missing_model_spec() -> StatusError:
    return invalid("Missing ModelSpec")


def model_spec_without_name() -> StatusError:
    return invalid("ModelSpec has no name specified.")


def unknown_label(label: str) -> StatusError:
    return invalid(f"Unrecognized servable version label: {label}")


def servable_not_found(model: str, version: int | None) -> StatusError:
    """No available servable: of any version (``version`` None), or of the one asked for."""
    wanted = f"Latest({model})" if version is None else f"Specific({model}, {version})"
    return StatusError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")


def no_versions(model: str) -> StatusError:
    return StatusError(Code.NOT_FOUND, f"Could not find any versions of model {model}")


def no_such_version(model: str, version: int) -> StatusError:
    return StatusError(Code.NOT_FOUND, f"Could not find version {version} of model {model}")


def signature_key_not_found(signature: str) -> StatusError:
    """The gRPC text; REST looks the signature up earlier and says it differently."""
    return StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.')


def signature_name_not_found(signature: str) -> StatusError:
    """The REST text."""
    return invalid(f'Serving signature name: "{signature}" not found in signature def')


def input_size_mismatch(sent: Iterable[str], wanted: Iterable[str]) -> StatusError:
    sent_set, wanted_set = set(sent), set(wanted)
    return invalid(
        f"input size does not match signature: {len(sent_set)}!={len(wanted_set)} "
        f"len({{{joined(sent_set)}}}) != len({{{joined(wanted_set)}}}). "
        f"Sent extra: {{{joined(sent_set - wanted_set)}}}. "
        f"Missing but required: {{{joined(wanted_set - sent_set)}}}."
    )


def input_missing(alias: str, feed: str, sent: Iterable[str], defaults: Iterable[str]) -> StatusError:
    return invalid(
        f"Signature input alias: {alias}(feed name: {feed}) not found in request"
        f" and no default value provided. "
        f"Inputs expected to be in the request {{{joined(sent)}}}, "
        f"or default input alias set: {joined(defaults)}"
    )


def input_unknown(used: Iterable[str], sent: Iterable[str]) -> StatusError:
    return invalid(f"Inputs contains invalid name. Used request inputs: {joined(used)}, request input: {joined(sent)}")


def tensor_unreadable(alias: str) -> StatusError:
    return invalid(f"tensor parsing error: {alias}")


def wrong_input_type(position: int, wanted: str, got: str) -> StatusError:
    return invalid(f"Expects arg[{position}] to be {wanted} but {got} is provided")


def output_unknown(alias: str, outputs: Iterable[str]) -> StatusError:
    return invalid(
        f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{joined(outputs)}}}."
    )


def output_repeated(alias: str) -> StatusError:
    return invalid(f"duplicate output tensor alias: {alias}")


def timed_out() -> StatusError:
    """What TensorFlow says of a run that was given up."""
    return StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")


def malformed_request(method: str, path: str) -> StatusError:
    return invalid(f"Malformed request: {method} {path}")
