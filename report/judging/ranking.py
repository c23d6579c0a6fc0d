"""Winners among equals, with their reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType

from contract.search import Search
from contract.verdict import Noise, Variant, Winner
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
        equals = list(group)
        merit = merit_of(noise, search, equals, objectives.get(model, {}))
        ordered = sorted(equals, key=merit.key)
        if merit.counts(ordered[0]):
            unranked = [v for v in variants if _class(v) == _class(ordered[0]) and not v.rankable]
            found.append(_winner(ordered, merit, len(unranked)))
    return found


def _class(variant: Variant) -> tuple[str, str]:
    return variant.model, variant.rank_class


def _winner(ordered: list[Variant], merit: Merit, unranked: int) -> Winner:
    """``unranked``: how many of its class could not be ranked."""
    best, others = ordered[0], ordered[1:]
    near = [v for v in others if merit.near(best, v)]
    return Winner(
        model=best.model,
        rank_class=best.rank_class,
        variant=None if near else best.id,
        tied=[best.id, *(v.id for v in near)] if near else [],
        passed=bool(best.slo.passed),
        sentence=_sentence(best, others, near, merit, unranked),
    )


def _sentence(best: Variant, others: list[Variant], near: list[Variant], merit: Merit, unranked: int) -> str:
    stage = merit.stage(best)
    rest = [v for v in others if v not in near]
    text = f"{best.model}: {merit.tie([best, *near], rest) if near else merit.lead(best, others)}"
    if not others:
        text += f", the only one of its class{f' that could be ranked, of {unranked + 1}' if unranked else ''}"
    kept = "keeps" if best.slo.passed else "misses"
    text += f"; {'the best' if near else 'it'} {kept} the objectives"
    if best.slo.passed and stage and stage.latency_ms.p99.upper is None:
        text += f" as measured (about {stage.latency_ms.p99.missing:,} more requests would carry the claim)"
    if best.stand_in_for:
        text += f". Among stand-ins: the deployment would run {best.stand_in_for}"
    return text + "."
