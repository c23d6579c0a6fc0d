"""The same variant measured twice (A/A): how far it lies from itself, below which a difference means nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contract.records import Plan
from contract.statistics import Floats, mean_interval, quantile_intervals
from contract.verdict import MaxRate, Noise, SloResult, StageResult
from report.figures.promise import PROMISED, shows
from report.figures.reading import Measured

BATCHES = 20
Interval = tuple[float, float, float]  # a figure, and the 99 % interval around it


def noise_of_run(plan: Plan, measured: Mapping[str, Measured]) -> Noise:
    """Of two measurements at the same rate: of several the first that was valid both times."""
    repeat = next((item for item in plan.variants if item.repeat_of), None)
    if repeat is None or repeat.repeat_of is None:
        once = any(
            shows(stage) for item in plan.variants for stage in item.stages if item.endpoint.engine_kind == "real"
        )
        why = (
            f"the load plan '{plan.load_plan}' goes through its stages once" if once else "no real endpoint was judged"
        )
        return no_noise(f"nothing was measured twice: {why}")
    if not any(shows(stage) for stage in repeat.stages):
        return no_noise(f"what was measured twice is not what the objectives are judged on: {PROMISED}")
    first, again = measured[repeat.repeat_of], measured[repeat.id]
    twice = [(one, other) for one in first.stages if one.of_slo for other in again.stages if other.name == one.name]
    if not twice:
        return no_noise("the run was interrupted before a variant was measured twice")
    pair = next(((one, other) for one, other in twice if one.valid and other.valid), None)
    if pair is None:
        return no_noise(f"the open-loop stage of {repeat.repeat_of} was measured twice, but not both were valid")
    samples = first.open_latencies[pair[0].name], again.open_latencies[pair[1].name]
    if not len(samples[0]) or not len(samples[1]):
        return no_noise("the variant that was measured twice gave no good answers")
    return noise_between(repeat.repeat_of, *pair, samples)


def noise_of_search(plan: Plan, judged: Mapping[str, SloResult]) -> Noise:
    """Of two searches for the same rate."""
    repeat = next((item for item in plan.variants if item.repeat_of), None)
    if repeat is None or repeat.repeat_of is None:
        return no_noise("no rate was sought twice")
    return noise_of_rates(repeat.repeat_of, judged[repeat.repeat_of].max_rps, judged[repeat.id].max_rps)


def noise_between(variant: str, first: StageResult, again: StageResult, samples: tuple[Floats, Floats]) -> Noise:
    """Relative differences of mean, p50 and p99 at the same rate, each with a 99 % interval.

    The p99 has none where its requests are worth too few independent ones; where they are too few for the p50 even,
    nothing is known. ``samples`` are the latencies of both in milliseconds, in the order of time.
    """
    p50, p99 = (
        (None, None) if a is None or b is None else _apart(a, b)
        for a, b in zip(*(quantile_intervals(each, (0.5, 0.99)) for each in samples), strict=True)
    )
    if p50 == (None, None):
        return no_noise(
            f"{variant} was measured twice, but its requests depend on each other too much to tell anything"
        )
    low, high = _apart(_mean(samples[0]), _mean(samples[1]))
    return Noise(
        variant=variant,
        p99_relative=_relative(first.latency_ms.p99.value, again.latency_ms.p99.value),
        p50_relative=_relative(first.latency_ms.p50.value, again.latency_ms.p50.value),
        low=low,
        high=high,
        p50_low=p50[0],
        p50_high=p50[1],
        p99_low=p99[0],
        p99_high=p99[1],
        reason=f"the open-loop stage of {variant} was measured twice, as the first and as the last of each round",
    )


def noise_of_rates(variant: str, first: MaxRate, again: MaxRate) -> Noise:
    """The highest rate, sought twice. Latencies are not compared: the two were confirmed at rates of their own."""
    if first.value is None or again.value is None:
        return no_noise(f"the highest rate of {variant} was sought twice, but not confirmed twice")
    return Noise(
        variant=variant,
        p99_relative=None,
        p50_relative=None,
        max_rps_relative=_relative(first.value, again.value),
        low=None,
        high=None,
        reason=f"the highest rate of {variant} was sought twice: {first.value:,.6g} and {again.value:,.6g} requests/s",
    )


def no_noise(reason: str) -> Noise:
    """Why there is no figure."""
    return Noise(variant=None, p99_relative=None, p50_relative=None, low=None, high=None, reason=reason)


def _mean(samples: Floats) -> Interval:
    """By batch means."""
    return mean_interval(np.array([part.mean() for part in np.array_split(samples, BATCHES) if len(part)]))


def _apart(a: Interval, b: Interval) -> tuple[float, float]:
    """The interval of b less a, relative to their middle, from the interval of each.

    The distances of the ends from their figures add up as the square root of their squares, as they would for normal
    figures, but each side by itself: Zou and Donner, Construction of confidence limits about effect measures (2008).
    """
    middle, difference = (a[0] + b[0]) / 2, b[0] - a[0]
    below, above = np.hypot(b[0] - b[1], a[2] - a[0]), np.hypot(b[2] - b[0], a[0] - a[1])
    return round(float(difference - below) / middle, 4), round(float(difference + above) / middle, 4)


def _relative(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None or a + b == 0 else round(abs(a - b) / ((a + b) / 2), 4)
