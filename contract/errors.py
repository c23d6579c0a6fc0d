"""The ways in which a run can end badly, and the exit code of each.

The data flow that these errors cut into:

    models.toml -> artifacts -> endpoints -> records -> verdict
      Usage(2)     Parity(5)    Server(3)   Invalid(4)  SLO(1)

A message is a sentence: what is wrong, which value, what to do next. Only `__main__` turns an error into an
exit code; nothing below it prints or exits.
"""

from __future__ import annotations

import errno

EXIT_MEANINGS = {
    0: "pass: every model has a variant that keeps its objectives",
    1: "SLO missed: the best variant of some model misses an objective",
    2: "wrong usage or configuration",
    3: "a server failed",
    4: "INVALID: the measurement cannot carry a verdict",
    5: "parity failed: an export does not agree with the trained model",
    130: "interrupted",
}

# What a machine can refuse, and what a person does about it.
ELSEWHERE = "or choose another folder with --workspace"
NEXT_STEPS = {
    errno.ENOSPC: f"make room {ELSEWHERE}",
    errno.EDQUOT: f"make room {ELSEWHERE}",
    errno.EROFS: f"make it writable {ELSEWHERE}",
    errno.EACCES: f"give this user the right to it {ELSEWHERE}",
    errno.EPERM: f"give this user the right to it {ELSEWHERE}",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "free memory, or serve fewer models at a time",
}


class LoadproofError(Exception):
    """Base of every error that a user can cause or meet; the text is shown without a stack trace."""

    exit_code = 2


class UsageError(LoadproofError):
    """A flag, a key or a missing input: the person who typed the command can mend it."""

    exit_code = 2


class ServerError(LoadproofError):
    """A server did not start, died, or stopped answering."""

    exit_code = 3


class ParityError(LoadproofError):
    """An artifact or an endpoint gives other answers than the trained model."""

    exit_code = 5


def of_the_machine(error: BaseException) -> str:
    """The sentence for what the machine refused: which file, why, what to do next. Empty for any other error."""
    if not isinstance(error, OSError) or error.errno not in NEXT_STEPS:
        return ""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {NEXT_STEPS[error.errno]}"


def nearest(word: str, known: list[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known word that is closest to ``word``, or an empty string."""
    import difflib

    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""
