"""Winners among equals, with their reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType

from contract.search import Search
from contract.verdict import Noise, StageResult, Variant, Winner
from report.judging.equal_load import promised_of
from report.judging.merit import Merit, merit_of

NO_OBJECTIVES: Mapping[str, Mapping[str, float]] = MappingProxyType({})


def winners(
    variants: list[Variant],
    noise: Noise,
    search: Search | None = None,
    objectives: Mapping[str, Mapping[str, float]] = NO_OBJECTIVES,
) -> list[Winner]:
    """The best variant per model and class of equals: by the highest rate where it was sought, else by p99.

    ``objectives`` are those of the report, by model. A class of which no variant has a figure has no winner.
    """
    rankable = sorted((v for v in variants if v.rankable), key=_class)
    found = []
    for (model, _), group in groupby(rankable, key=_class):
        equals, promised = list(group), objectives.get(model, {})
        merit = merit_of(noise, search, equals, promised)
        ordered = sorted(equals, key=merit.key)
        if merit.counts(ordered[0]):
            unranked = [v for v in variants if _class(v) == _class(ordered[0]) and not v.rankable]
            found.append(_winner(ordered, merit, len(unranked), promised))
    return found


def _class(variant: Variant) -> tuple[str, str]:
    return variant.model, variant.rank_class


def _winner(ordered: list[Variant], merit: Merit, unranked: int, promised: Mapping[str, float]) -> Winner:
    """``unranked``: how many of its class could not be ranked."""
    best, others = ordered[0], ordered[1:]
    near = [v for v in others if merit.near(best, v)]
    lead = _lead(best, others, near, merit, unranked)
    kept = _kept(best, merit.stage(best), promised)
    return Winner(
        model=best.model,
        rank_class=best.rank_class,
        variant=None if near else best.id,
        tied=[best.id, *(v.id for v in near)] if near else [],
        passed=bool(best.slo.passed),
        sentence=f"{best.model}: {lead}; {'the best' if near else 'it'} {kept}.",
    )


def _lead(best: Variant, others: list[Variant], near: list[Variant], merit: Merit, unranked: int) -> str:
    rest = [v for v in others if v not in near]
    text = merit.tie([best, *near], rest) if near else merit.lead(best, others)
    if not others:
        text += f", the only one of its class{f' that could be ranked, of {unranked + 1}' if unranked else ''}"
    return text


def _kept(best: Variant, stage: StageResult | None, promised: Mapping[str, float]) -> str:
    """Whether it keeps what was promised, and what a claim of all of it still needs."""
    text = f"{'keeps' if best.slo.passed else 'misses'} the objectives"
    named = promised_of(stage, promised) if best.slo.passed and stage else []
    if any(percentile.upper is None for percentile in named):
        missing = max(percentile.missing for percentile in named)
        text += f" as measured (about {missing:,} more requests would carry the claim)"
    if best.stand_in_for:
        text += f". Among stand-ins: the deployment would run {best.stand_in_for}"
    return text
