"""Per model what to serve, how much it holds, how sure that is, and why not the others: for who has to decide. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from contract.statistics import CONFIDENCE
from contract.verdict import Report, Variant
from report import words
from report.judging.by_rate import rank_rate
from report.judging.cost import always_fewer, break_even
from report.judging.equal_load import stage_at
from report.judging.invalid import briefly
from report.judging.merit import Merit, merit_of

SHORT: dict[str, Callable[[Variant], bool]] = {
    "embedded": lambda v: v.engine_kind == "embedded",
    "failed parity": lambda v: not (v.parity.export.passed and v.parity.endpoint.passed),
    "failed parity in the engine": lambda v: v.parity.engine is not None and not v.parity.engine.passed,
    "not measured": lambda v: not v.complete and not v.stages,
    "interrupted": lambda v: not v.complete,
}
BEYOND: dict[words.Ended, str] = {
    "machine": "Other work on the machine was the limit, so it may do more: measure again when it is quiet.",
    "load generator": "The load generator was the limit, so it may do more.",
    "range": "The search was not allowed to go higher, so it may do more.",
    "answers": "Above that rate too many requests failed.",
    "": "The search was cut short before it met a limit, so it may do more.",
}

CONFIGURE = "configure"  # the plan of a run whose variants are trials of configurations


def order(variants: Sequence[Variant], merit: Merit) -> list[Variant]:
    """Best first: kept objectives, then what would be deployed just as it was measured, then by merit."""
    return sorted(rankable(variants), key=lambda v: (not v.slo.passed, v.stand_in_for is not None, merit.key(v)))


def rankable(variants: Sequence[Variant]) -> list[Variant]:
    """Those that may be advised at all."""
    return [variant for variant in variants if variant.rankable]


def advise(report: Report, confidence: Mapping[str, float] = MappingProxyType({})) -> dict[str, str]:
    """By model: what to serve and why, in words.

    ``confidence``: of the rate that a search found, by variant (`claim.py`); what stands alone has that of its stage.
    """
    return {model: f"{model}: {_of_model(report, model, confidence)}" for model in words.models(report)}


def _of_model(report: Report, model: str, confidence: Mapping[str, float]) -> str:
    variants = [variant for variant in report.variants if variant.model == model]
    merit = merit_of(report.noise, report.search, rankable(variants), report.objectives.get(model, {}))
    ordered = order(variants, merit)
    names = words.labels(report)
    if not ordered:
        reasons = _together([(names[variant.id], _why_unranked(variant)) for variant in variants])
        return f"nothing can be advised: {'; '.join(reasons) or 'nothing was measured'}."
    best, others = ordered[0], [variant for variant in variants if variant.id != ordered[0].id]
    trials = [item for item in others if report.load_plan == CONFIGURE and not _sought(report, item)]
    reasons = _together([(names[item.id], _why_not(item, best, merit)) for item in others if item not in trials])
    if trials:
        reasons.append(f"{words.counted(len(trials), 'trial')} of other configurations: see trials.json")
    sentences = (
        _headline(report, best),
        _confidence(report, best, confidence.get(best.id, CONFIDENCE)) if best.slo.passed else "",
        BEYOND.get(words.ended_by(best.slo.max_rps), "") if report.search else "",
        f"Measured on a stand-in: the deployment would run {best.stand_in_for}." if best.stand_in_for else "",
        _cost(best),
        f"Not the others: {'; '.join(reasons)}." if reasons else "",
        _machines(report, best, ordered[1:], merit),
    )
    return " ".join(filter(None, sentences))


def _together(named: Sequence[tuple[str, str]]) -> list[str]:
    """Variants and why they are not advised: those that share a reason share a place in the sentence."""
    whose: dict[str, list[str]] = {}
    for name, why in named:
        whose.setdefault(why, []).append(name)
    if len(whose) == 1 and len(named) > 1:
        return [f"all {len(named)} variants: {named[0][1]}"]
    return [f"{' / '.join(names)}: {why}" for why, names in whose.items()]


def _sought(report: Report, variant: Variant) -> bool:
    return report.search is not None and report.search.of(variant.id) is not None


def _headline(report: Report, best: Variant) -> str:
    objectives = report.objectives.get(best.model, {})
    limits, rate = words.limits(objectives), best.slo.max_rps.value
    at = f" at {limits}" if limits else ""
    what = words.deployment(best)
    if not best.slo.passed:
        promised = f"{words.plain(objectives.get('rate', 0))} requests/s{at}"
        reached = f" with {words.number(rate)} requests/s" if rate else ""
        return f"no variant keeps its objectives, {promised}; the nearest is {what}{reached}."
    if report.search is None:
        unknown = "how much more it could do was not sought (make slo)"
        return f"serve it as {what}: holds the tested {words.plain(rate or 0)} requests/s{at}; {unknown}."
    return f"serve it as {what}: {words.number(rate)} requests/s{at}."


def _confidence(report: Report, best: Variant, level: float) -> str:
    """What of the headline may be claimed, and from how much."""
    stage = stage_at(best, best.slo.max_rps.value)
    if stage is None:
        return "Nothing of it may be claimed."
    asked = [name.removesuffix("_ms") for name in report.objectives.get(best.model, {}) if name.endswith("_ms")]
    found = [getattr(stage.latency_ms, name) for name in asked]
    window = f"{'a confirmation of ' if stage.purpose == 'confirm' else ''}{words.plain(round(stage.duration_s, 1))} s"
    basis = f"{words.counted(stage.requests, 'request')} in {window}"
    if any(percentile.upper is None for percentile in found):
        missing = max(percentile.missing for percentile in found)
        return f"As measured with {basis}; a claim at 99 % confidence needs about {missing:,} more."
    return f"Claimed at {words.share(level)} confidence from {basis}."


def _why_not(variant: Variant, best: Variant, merit: Merit) -> str:
    """Why another variant than the best one is not advised: the first reason that holds."""
    if not variant.rankable:
        return _why_unranked(variant)
    if best.slo.passed and not variant.slo.passed:
        return f"misses an objective ({merit.figure(variant)})"
    if variant.device != best.device:
        return f"on another device, {variant.device} ({merit.figure(variant)})"
    if variant.rank_class != best.rank_class:
        return f"{'a stand-in' if variant.stand_in_for else 'no stand-in'}, ranked apart ({merit.figure(variant)})"
    if merit.near(best, variant):
        within = merit.within()
        return f"{merit.figure(variant)}, {f'a tie within {within}' if within else 'too close for an unknown noise'}"
    return merit.behind(best, variant)


def _why_unranked(variant: Variant) -> str:
    short = next((word for word, holds in SHORT.items() if holds(variant)), None)
    return short or briefly(variant.stages) or next(iter(variant.not_ranked_because), "no reason was recorded")


def _cost(best: Variant) -> str:
    if best.slo.cost_per_million is None:
        return ""
    cost = words.money(best.slo.cost_per_million, best.slo.currency)
    return f"A million inferences cost {cost} ({best.slo.cost_reason})."


def _machines(report: Report, best: Variant, others: Sequence[Variant], merit: Merit) -> str:
    """From which demand on it matters which of two is served: the best and the next that is really another."""
    priced = [item for item in others if item.slo.cost_per_million is not None and not merit.near(best, item)]
    if best.slo.cost_per_million is None or not priced:
        return ""
    more, fewer = sorted((best, priced[0]), key=rank_rate)
    first, always = break_even(rank_rate(more), rank_rate(fewer)), always_fewer(rank_rate(more), rank_rate(fewer))
    names = words.labels(report)
    return (
        f"Up to {words.number(first)} requests/s one machine is enough of either; above it {names[fewer.id]} needs "
        f"fewer machines than {names[more.id]} for some demands, above {words.number(always)} requests/s for all."
    )
