"""Winners among equals, with their reason, and the noise below which a difference means nothing. Pure."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from contract.statistics import Floats, mean_interval
from contract.verdict import Noise, StageResult, Variant, Winner
from report import words

BATCHES = 20


def open_stage(variant: Variant) -> StageResult | None:
    """The valid open-loop stage that variants are ranked by: the same rate for all variants of a model."""
    return next((stage for stage in variant.stages if stage.of_slo and stage.valid), None)


def rank_p99(variant: Variant) -> float:
    """The open-loop p99 in milliseconds, infinite where there is none."""
    stage = open_stage(variant)
    return stage.latency_ms.p99.value if stage and stage.latency_ms.p99.value is not None else float("inf")


def winners(variants: list[Variant], noise: Noise) -> list[Winner]:
    """The best variant per model and class of equals: objectives kept first, then the lowest open-loop p99."""
    rankable = sorted((v for v in variants if v.rankable), key=lambda v: (v.model, v.rank_class))
    return [
        _winner(model, rank_class, list(group), noise)
        for (model, rank_class), group in groupby(rankable, key=lambda v: (v.model, v.rank_class))
    ]


def _winner(model: str, rank_class: str, group: list[Variant], noise: Noise) -> Winner:
    ordered = sorted(group, key=lambda v: (not v.slo.passed, rank_p99(v)))
    best, others = ordered[0], ordered[1:]
    margin = noise.p99_relative or 0.0
    near = [
        v
        for v in others
        if bool(v.slo.passed) == bool(best.slo.passed) and rank_p99(v) <= rank_p99(best) * (1 + margin)
    ]
    return Winner(
        model=model,
        rank_class=rank_class,
        variant=None if near else best.id,
        tied=[best.id, *(v.id for v in near)] if near else [],
        passed=bool(best.slo.passed),
        sentence=_sentence(model, best, others, near, margin),
    )


def _sentence(model: str, best: Variant, others: list[Variant], near: list[Variant], margin: float) -> str:
    stage = open_stage(best)
    rate = f"{stage.target:g} requests/s" if stage else "no rate"
    if near:
        names = " and ".join(words.label(v) for v in [best, *near])
        figures = ", ".join(f"{rank_p99(v):.2f}" for v in [best, *near])
        text = (
            f"{model}: A tie between {names}; their p99 at {rate} ({figures} ms) "
            f"differ by less than the noise of this run ({margin:.0%})"
        )
    else:
        text = f"{model}: {words.label(best)} is best, p99 {rank_p99(best):.2f} ms at {rate}"
        if others:
            text += f", against {rank_p99(others[0]):.2f} ms of {words.label(others[0])}"
            if best.slo.passed and not others[0].slo.passed:
                text += ", which misses the objectives"
        else:
            text += ", the only one of its class"
    kept = "keeps" if best.slo.passed else "misses"
    text += f"; {'the best' if near else 'it'} {kept} the objectives"
    if best.slo.passed and stage and stage.latency_ms.p99.upper is None:
        text += f" as measured (about {stage.latency_ms.p99.missing:,} more requests would carry the claim)"
    if best.stand_in_for:
        text += f". Among stand-ins: the deployment would run {best.stand_in_for}"
    return text + "."


def noise_between(variant: str, first: StageResult, again: StageResult, samples: tuple[Floats, Floats]) -> Noise:
    """The same variant twice: relative differences of percentiles; of the mean with a 99 % interval (batch means)."""
    mean_a, half_a = _mean(samples[0])
    mean_b, half_b = _mean(samples[1])
    middle = (mean_a + mean_b) / 2
    half = float(np.hypot(half_a, half_b)) / middle
    difference = (mean_b - mean_a) / middle
    return Noise(
        variant=variant,
        p99_relative=_relative(first.latency_ms.p99.value, again.latency_ms.p99.value),
        p50_relative=_relative(first.latency_ms.p50.value, again.latency_ms.p50.value),
        low=round(difference - half, 4),
        high=round(difference + half, 4),
        reason=f"the open-loop stage of {variant} was measured twice, as the first and as the last of each round",
    )


def no_noise(reason: str) -> Noise:
    """Why there is no figure."""
    return Noise(variant=None, p99_relative=None, p50_relative=None, low=None, high=None, reason=reason)


def _mean(samples: Floats) -> tuple[float, float]:
    means = np.array([part.mean() for part in np.array_split(samples, BATCHES) if len(part)])
    mean, low, high = mean_interval(means)
    return mean, (high - low) / 2


def _relative(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None or a + b == 0 else round(abs(a - b) / ((a + b) / 2), 4)
