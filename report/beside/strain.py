"""What a load over time, or beyond the maximum, showed of each variant: sentences for every report. Pure."""

from __future__ import annotations

from contract.verdict import Report, Variant
from report import words
from report.beside.server_words import endured


def sentences(report: Report) -> list[str]:
    """One sentence for each long stage and each overload, in the order of the variants; often there is neither."""
    names = words.labels(report)
    return [
        f"{variant.model}, {names[variant.id]}: {text}" for variant in report.variants for text in _of_variant(variant)
    ]


def _of_variant(variant: Variant) -> list[str]:
    found = [
        f"over the {stage.duration_s / 60:.3g} minutes of {stage.name}: {'; '.join(endured(stage.endurance))}."
        for stage in variant.stages
        if stage.endurance is not None
    ]
    return [*found, variant.overload.sentence] if variant.overload else found
