"""Winners among equals, with their reason. Pure."""

from __future__ import annotations

from itertools import groupby

from contract.search import Search
from contract.verdict import Noise, Variant, Winner
from report.merit import Merit, merit_of, open_stage


def winners(variants: list[Variant], noise: Noise, search: Search | None = None) -> list[Winner]:
    """The best variant per model and class of equals: by the highest rate where it was sought, else by p99.

    A class of which no variant has a figure has no winner.
    """
    merit = merit_of(noise, search)
    rankable = sorted((v for v in variants if v.rankable), key=lambda v: (v.model, v.rank_class))
    classes = groupby(rankable, key=lambda v: (v.model, v.rank_class))
    found = [(model, rank_class, sorted(group, key=merit.key)) for (model, rank_class), group in classes]
    return [_winner(model, rank_class, group, merit) for model, rank_class, group in found if merit.counts(group[0])]


def _winner(model: str, rank_class: str, ordered: list[Variant], merit: Merit) -> Winner:
    best, others = ordered[0], ordered[1:]
    near = [v for v in others if merit.near(best, v)]
    return Winner(
        model=model,
        rank_class=rank_class,
        variant=None if near else best.id,
        tied=[best.id, *(v.id for v in near)] if near else [],
        passed=bool(best.slo.passed),
        sentence=_sentence(model, best, others, near, merit),
    )


def _sentence(model: str, best: Variant, others: list[Variant], near: list[Variant], merit: Merit) -> str:
    stage = open_stage(best)
    text = f"{model}: {merit.tie([best, *near]) if near else merit.lead(best, others)}"
    kept = "keeps" if best.slo.passed else "misses"
    text += f"; {'the best' if near else 'it'} {kept} the objectives"
    if best.slo.passed and stage and stage.latency_ms.p99.upper is None:
        text += f" as measured (about {stage.latency_ms.p99.missing:,} more requests would carry the claim)"
    if best.stand_in_for:
        text += f". Among stand-ins: the deployment would run {best.stand_in_for}"
    return text + "."
