"""Headers as [client] names them -> as they are sent. The only place where a secret is read, and it stays in memory."""

from __future__ import annotations

from collections.abc import Mapping

from contract.client import ENVIRONMENT, VALUE
from contract.errors import UsageError


def with_secrets(headers: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The headers, each ``env:NAME`` replaced by the variable. Raises UsageError, which never holds a value."""
    return {name: _value(name, value, environment) for name, value in headers.items()}


def _value(header: str, value: str, environment: Mapping[str, str]) -> str:
    if not value.startswith(ENVIRONMENT):
        return value
    variable = value.removeprefix(ENVIRONMENT)
    found = environment.get(variable)
    if not found:
        state = "not set" if found is None else "empty"
        raise UsageError(
            f"the header '{header}' wants the environment variable {variable}, which is {state}; export it"
        )
    if not VALUE.fullmatch(found):
        raise UsageError(
            f"the environment variable {variable} holds characters that no header can carry "
            f"(a line break at its end?); mend it, the header '{header}' wants it"
        )
    return found
