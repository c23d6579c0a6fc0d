"""What must be known beside every figure, in one line: device, shared or busy cores, what is no real engine. Pure.

It stands beside each table and chart, since a figure is copied without the list of what could mislead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contract.verdict import Report, Variant
from report import words
from report.beside.caveats import SHARED, other_works

DEVICES = {"cpu": "a CPU", "unknown": "a device that is not known"}


def circumstances(report: Report, variants: Sequence[Variant]) -> str:
    """The line for figures of these variants; empty where there are none."""
    if not variants:
        return ""
    embedded = [variant for variant in variants if variant.engine_kind == "embedded"]
    stand_ins = [variant for variant in variants if variant.stand_in_for and variant not in embedded]
    shared = any(text.startswith(SHARED) for text in report.warnings)
    parts = (
        _devices(variants),
        f"load generator and servers share {words.counted(report.machine.cores, 'core')}" if shared else "",
        other_works(variants),
        f"{_all(words.engine(variant) for variant in embedded)} is shown and never ranked" if embedded else "",
        f"a backend stands in for the native one of {_all(v.format for v in stand_ins)}" if stand_ins else "",
    )
    return f"{'; '.join(filter(None, parts))}."


def _devices(variants: Sequence[Variant]) -> str:
    """E.g. ``Measured on a CPU only``; where there are several, which format ran on which."""
    formats: dict[str, list[str]] = {}
    for variant in variants:
        formats.setdefault(variant.device, []).append(variant.format)
    if len(formats) == 1:
        (device,) = formats
        return f"Measured on {DEVICES.get(device, device)}{' only' if device == 'cpu' else ''}"
    return "Measured on " + ", ".join(f"{DEVICES.get(name, name)} ({_all(found)})" for name, found in formats.items())


def _all(names: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(names))
