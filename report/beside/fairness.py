"""The fairness sheet: per model, the conditions of each served format side by side, what differs marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contract.verdict import Report, Variant
from report import words


@dataclass(frozen=True)
class Line:
    """One condition: its value on every served format of a model."""

    name: str
    values: list[str]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class Sheet:
    """One model. The columns are its formats on their engines; the protocols of one share its other conditions."""

    model: str
    columns: list[str]
    lines: list[Line]


def sheets(report: Report) -> list[Sheet]:
    """A sheet for every model that has conditions (older results have none)."""
    found = []
    for model in dict.fromkeys(variant.model for variant in report.variants):
        served: dict[tuple[str, str], list[Variant]] = {}
        for variant in report.variants:
            if variant.model == model and variant.conditions:
                served.setdefault((words.engine(variant), variant.format), []).append(variant)
        if served:
            columns = [f"{form} on {engine}" for engine, form in served]
            found.append(Sheet(model, columns, [_protocols(served.values()), *_conditions(served.values())]))
    return found


def _protocols(columns: Iterable[list[Variant]]) -> Line:
    """Over which protocols each was measured; in one order, for another order makes no difference."""
    measured = [{variant.protocol for variant in variants} for variants in columns]
    names = [", ".join(text for name, text in words.PROTOCOLS.items() if name in found) for found in measured]
    return Line("protocol", names)


def _conditions(columns: Iterable[list[Variant]]) -> list[Line]:
    """What the variants themselves say, in their order."""
    said = [variants[0].conditions for variants in columns]
    names = dict.fromkeys(name for conditions in said for name in conditions)
    return [Line(name, [conditions.get(name, words.ABSENT) for conditions in said]) for name in names]
