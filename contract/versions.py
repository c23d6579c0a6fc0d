"""Which versions of a model an engine is to serve, as models.toml says it: so many, all, or these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

WAYS = "give how many of the newest (1 or more), 'all', or a list of versions such as [1, 3]"


def _stated(value: object) -> object:
    """The value, with a list in rising order. Raises ValueError for what names no versions."""
    if value == "all" or _is_version(value):
        return value
    if not isinstance(value, list | tuple):
        raise ValueError(WAYS)
    if not value or not all(_is_version(each) for each in value):
        raise ValueError(f"{WAYS}; versions count from 1 (got {value!r})")
    if len(set(value)) != len(value):
        raise ValueError(f"versions holds a version twice: {value!r}")
    return sorted(value)


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


Versions = Annotated[int | Literal["all"] | list[int], BeforeValidator(_stated)]
