"""Which version of a server a report measured, against the one that is to run. Pure."""

from __future__ import annotations

import re

from serving.layout.releases import KNOWN, parse, release

VERSION = re.compile(r"^\d+\.\d+\.\d+$")
RELEASE = re.compile(r"(?<![\d.])\d\d\.(?:0[1-9]|1[0-2])(?![\d.])")  # in a tag: `26.08-py3`, `v1-26.08`, not `0.26.08`

IN_TAG = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")


def is_version(version: str) -> bool:
    """Whether it is a version, and not `unknown` or the words of the embedded server."""
    return VERSION.match(version) is not None


def is_of_release(version: str, target: str) -> bool:
    """Whether a Triton that calls itself ``version`` (`2.72.0`) is of the release ``target`` (`26.08`).

    The version of a release that is not in the table is known only to lie between those of its neighbours.
    """
    if not is_version(version):
        return False
    before = release(target)
    if before.name == target:
        return version == before.triton
    later = (_numbers(item.triton) for item in KNOWN if parse(item.name) > parse(target))
    return _numbers(before.triton) < _numbers(version) < min(later, default=(10**6,))


def named_release(tag: str) -> str | None:
    """The Triton release that an image's tag names, None where it names none."""
    found = RELEASE.search(tag)
    return found[0] if found else None


def named_version(tag: str) -> str | None:
    """The TF Serving version that an image's tag names (`2.19.1-gpu`), None where it names none."""
    found = IN_TAG.search(tag)
    return found[0] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
