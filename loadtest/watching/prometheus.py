"""Prometheus' text format, as far as servers under load are asked for it: samples with labels, nothing inferred."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Sample:
    """One line of a page."""

    name: str
    labels: dict[str, str]
    value: float


def samples(page: str) -> Iterator[Sample]:
    """The samples of a page, in its order; comments and lines of another form are left out."""
    for line in page.splitlines():
        if found := _SAMPLE.match(line):
            name, labels, value = found.groups()
            try:
                yield Sample(name, dict(_LABEL.findall(labels or "")), float(value))
            except ValueError:
                continue  # no number: another format's line


def total(page: str, name: str, **labels: str) -> float:
    """The sum of all series of one name that carry these labels; 0 where there is none.

    A series appears with its first observation, so a missing one has counted nothing yet.
    """
    wanted = labels.items()
    return sum(item.value for item in samples(page) if item.name == name and wanted <= item.labels.items())
