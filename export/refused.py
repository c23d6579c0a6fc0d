"""A converter's refusal, in its own words: what makes a cell of the matrix `unsupported` and not `failed`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import LoadproofError

UNSUPPORTED = 69  # EX_UNAVAILABLE of sysexits.h: the exit code by which a step says so to its parent
LONGEST = 300
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ERROR = re.compile(r"^[\w.]*(Error|Exception): ")


class Refused(LoadproofError):
    """A converter that was asked for more than it can do."""

    exit_code = UNSUPPORTED


@contextmanager
def quoting(converter: str) -> Iterator[None]:
    """Turn whatever a converter raises into a refusal that quotes it: converters have no common base of errors."""
    try:
        yield
    except LoadproofError:
        raise
    except Exception as error:
        raise Refused(f"{converter}: {first_words(error)}") from error


def first_words(error: BaseException) -> str:
    """The error that is at the bottom of it: its class and its first line that says something. The log has the rest."""
    while error.__cause__ is not None and str(error.__cause__).strip():
        error = error.__cause__
    lines = [line.strip() for line in COLOUR.sub("", str(error)).splitlines()]
    said = next((line for line in lines if any(letter.isalnum() for letter in line)), "")
    if "TorchScript" in said:  # its first line says that something failed, its last one what
        said = next((line for line in reversed(lines) if ERROR.match(line)), said)
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
