"""The fairness sheet: per model, the conditions of each served format side by side, what differs marked."""

from __future__ import annotations

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
    """One model. The columns are its formats on their engines; the protocols of one share its conditions."""

    model: str
    columns: list[str]
    lines: list[Line]


def sheets(report: Report) -> list[Sheet]:
    """A sheet for every model that has conditions (older results have none)."""
    found = []
    for model in dict.fromkeys(variant.model for variant in report.variants):
        served: dict[tuple[str, str], Variant] = {}
        for variant in report.variants:
            if variant.model == model and variant.conditions:
                served.setdefault((words.engine(variant), variant.format), variant)
        if not served:
            continue
        variants = list(served.values())
        names = dict.fromkeys(name for variant in variants for name in variant.conditions)
        found.append(
            Sheet(
                model,
                [f"{variant.format} on {words.engine(variant)}" for variant in variants],
                [Line(name, [variant.conditions.get(name, words.ABSENT) for variant in variants]) for name in names],
            )
        )
    return found
