"""What is not ranked and why, and what to do about it: one line for each reason, not for each variant. Pure."""

from __future__ import annotations

from collections import Counter

from contract.verdict import Report, Variant
from report import words
from report.judging.invalid import briefly, failed, in_full, opened


def sentences(report: Report) -> list[str]:
    """Variants of one model that have the same reason share a sentence, with the figures of the first of them."""
    names = words.labels(report)
    groups: dict[tuple[str, str], list[Variant]] = {}
    for item in report.variants:
        if not item.rankable:
            groups.setdefault((item.model, _kind(item)), []).append(item)
    return [
        f"{model}, {'; '.join(names[item.id] for item in found)}: {_said(kind, found)}"
        for (model, kind), found in groups.items()
    ]


def _kind(variant: Variant) -> str:
    """Its reasons without the figures by which the same failure differs from variant to variant."""
    return words.not_ranked(variant).replace(in_full(variant.stages), briefly(variant.stages))


def _said(kind: str, found: list[Variant]) -> str:
    reason = words.not_ranked(found[0])
    if len(found) == 1 or reason == kind:
        return reason
    figures = in_full(found[0].stages).partition("(")[2].removesuffix(")")
    return f"{kind} (the first: {figures})"


def next_steps(report: Report) -> list[str]:
    """What is recommended where no open-loop stage is valid: each once, with the number of variants it is for."""
    counts: Counter[str] = Counter()
    for item in report.variants:
        if briefly(item.stages):
            checks = [check for stage in opened(item.stages) for check in failed(stage)]
            counts.update({check.recommendation for check in checks if check.recommendation})
    return [f"{text} ({words.counted(count, 'variant')})" for text, count in counts.most_common()]
