"""What two reports do not promise alike: a figure that is judged, or sought, by it is another one. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from contract.statistics import PERCENTILES
from contract.verdict import Report
from report import words

# By the keys of an `slo`: what it is called, and its unit.
KEYS = {
    "rate": ("rate", "req/s"),
    **{f"{name}_ms": (words.percentile_name(name), "ms") for name in PERCENTILES},
    "error_rate": ("error rate", ""),
}


def promised_otherwise(before: Report, after: Report) -> Iterator[str]:
    """E.g. ``promised p99 of words 50 -> 20 ms``, for every model that both reports have."""
    for model, new in after.objectives.items():
        old = before.objectives.get(model, new)
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                name, unit = KEYS.get(key, (key, ""))
                yield f"promised {name} of {model} {_figure(old.get(key))} -> {_figure(new.get(key))} {unit}".rstrip()


def _figure(value: float | None) -> str:
    return "none" if value is None else words.plain(value)
