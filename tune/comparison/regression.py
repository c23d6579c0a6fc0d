"""Whether a newer run is slower than an older one: intervals over replications, and a verdict per figure. Pure.

A replication is a figure that was measured again from the beginning: one round of a stage, or a whole run. Requests
are not replications: thousands of them share one start of the server, one state of the machine, one stall. An
interval over requests shrinks with their number, and sees a regression in any two runs of the same thing.

The interval is the studentised bootstrap (bootstrap-t: Efron and Tibshirani 1993, chapter 12; Hall 1988) of the
difference of mean logarithms, which is the logarithm of a ratio of geometric means: latencies are skewed and their
spread grows with them. With the few replications that a load test can afford, the plain percentile bootstrap is far
too narrow: of 5 against 5 equal ones it was seen to call 12 % different where 5 % were promised.

All figures of a comparison are judged at one level together (Bonferroni), so that a run with twenty variants does not
raise a false alarm twenty times as often as a run with one. A difference is called only when its interval excludes
zero *and* the difference is as large as the minimum effect.

A rate that was sought takes minutes, so often there is one on each side. That tests nothing, but a search knows its
resolution, and how far two searches for one rate lay apart within the run (A/A): what is smaller than these means
nothing, what is larger is said to be so. Neither is a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contract.statistics import Floats
from report.words import share

LEVEL = 0.95  # that all intervals of a comparison hold together
LEAST = 5  # replications on each side; with fewer, the spread itself is hardly known
LEAST_RESAMPLES = 4_000
MOST_RESAMPLES = 200_000
BEYOND = 40  # resamples that lie beyond each end of an interval, so that the end is known
SEED = 20240

Outcome = Literal["regression", "improvement", "no difference", "within noise", "beyond noise", "not judged"]
UNTESTED: tuple[Outcome, ...] = ("within noise", "beyond noise")


@dataclass(frozen=True)
class Pair:
    """One figure of one variant on both sides: its replications, all positive, in the figure's own unit."""

    model: str
    variant: str
    stage: str  # empty for a figure of the whole variant
    figure: str
    unit: str
    better: Literal["lower", "higher"]
    base: Floats
    new: Floats
    noise: float = 0.0  # relative, up to which one variant measured twice (A/A) may differ, of the runs the largest
    resolution: float | None = None  # relative, of a rate that was sought: a difference below it means nothing
    refused: str = ""  # why the figures may not be compared


@dataclass(frozen=True)
class Change:
    """Relative change from base to new, of geometric means, with its interval: 0.1 is 10 % more."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Judged:
    """What may be said about one pair. ``change`` is None where there are too few replications for any.

    ``difference`` is the relative one of what was not tested, as `Change.estimate` is.
    """

    pair: Pair
    outcome: Outcome
    change: Change | None
    reason: str
    difference: float | None = None

    @property
    def hidden(self) -> float:
        """The largest change for the worse that the interval does not exclude: 0.1 is 10 %; 0 where it excludes all."""
        if self.change is None:
            return 0.0
        return max(0.0, self.change.high if self.pair.better == "lower" else -self.change.low)


def judge(pairs: Sequence[Pair], min_effect: float, level: float = LEVEL) -> list[Judged]:
    """Judge the pairs together. ``min_effect`` is the smallest relative change that counts, e.g. 0.05.

    A pair whose runs leave more than that open (A/A, `report/judging/margin.py`) needs more than that much.
    """
    judgeable = [pair for pair in pairs if not _refusal(pair)]
    tail = (1 - level) / 2 / max(len(judgeable), 1)
    return [_untested(pair, min_effect) or _judged(pair, min_effect, tail) for pair in pairs]


def _refusal(pair: Pair) -> str:
    if pair.refused:
        return pair.refused
    fewest = min(len(pair.base), len(pair.new))
    if fewest < LEAST:
        return f"{len(pair.base)} against {len(pair.new)} replications, at least {LEAST} on each side needed"
    return ""


def _untested(pair: Pair, min_effect: float) -> Judged | None:
    """What fewer searches than a test needs allow to say; None where there are enough of them, or it was no search."""
    fewest = min(len(pair.base), len(pair.new))
    if pair.refused or pair.resolution is None or not 0 < fewest < LEAST:
        return None
    explained = {
        "the minimum effect": min_effect,
        "the resolution of a search": pair.resolution,
        "the noise of the runs": pair.noise,
    }
    what, most = max(explained.items(), key=lambda item: item[1])
    difference = float(np.log(pair.new).mean() - np.log(pair.base).mean())
    size = math.expm1(difference)
    if abs(difference) <= math.log1p(most):
        return Judged(pair, "within noise", None, f"means nothing: not above {what}, {share(most)}", size)
    reason = f"above {what}, {share(most)}, but not tested: {LEAST} runs on each side test it"
    return Judged(pair, "beyond noise", None, reason, size)


def _judged(pair: Pair, min_effect: float, tail: float) -> Judged:
    refusal = _refusal(pair)
    if refusal:
        return Judged(pair, "not judged", None, refusal)
    change = interval(pair.base, pair.new, tail)
    needed = max(min_effect, pair.noise)
    if change.low <= 0 <= change.high:
        return Judged(pair, "no difference", change, "the interval holds zero")
    # A halved rate and a doubled latency are the same size: both are a factor of two.
    if abs(math.log1p(change.estimate)) < math.log1p(needed):
        larger = "the run's own noise" if pair.noise > min_effect else "the minimum effect"
        return Judged(pair, "no difference", change, f"smaller than {larger} of {share(needed)}")
    worse = (change.estimate > 0) == (pair.better == "lower")
    return Judged(
        pair, "regression" if worse else "improvement", change, f"at least {share(needed)}, and beyond chance"
    )


def interval(base: Floats, new: Floats, tail: float) -> Change:
    """The relative change with an interval that leaves ``tail`` out at each end. At least two replications a side.

    The same replications always give the same interval: the resamples are seeded.
    """
    logs = np.log(base), np.log(new)
    difference, error = _difference(*logs)
    if error == 0.0:
        return Change(math.expm1(difference), math.expm1(difference), math.expm1(difference))
    count = min(max(LEAST_RESAMPLES, math.ceil(BEYOND / tail)), MOST_RESAMPLES)
    generator = np.random.default_rng(SEED)
    drawn = [side[generator.integers(0, len(side), (count, len(side)))] for side in logs]
    resampled, errors = _differences(*drawn)
    # A resample that drew one replication all along has no spread, and says nothing but that the ends lie far out.
    away = resampled - difference
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 0, away / errors, np.copysign(np.inf, away))
    low, high = np.quantile(t, [tail, 1 - tail], method="closest_observation")
    ends = (_expm1(difference - float(end) * error) for end in (high, low))
    return Change(math.expm1(difference), *ends)


def _difference(base: Floats, new: Floats) -> tuple[float, float]:
    """Difference of the means, and its standard error (Welch's)."""
    difference, error = _differences(base[None], new[None])
    return float(difference[0]), float(error[0])


def _differences(base: Floats, new: Floats) -> tuple[Floats, Floats]:
    """The same for each row of [resamples, replications]."""
    variance = base.var(axis=1, ddof=1) / base.shape[1] + new.var(axis=1, ddof=1) / new.shape[1]
    return new.mean(axis=1) - base.mean(axis=1), np.sqrt(variance)


def _expm1(value: float) -> float:
    """Infinity where the end of an interval lies beyond what a number can hold."""
    return math.expm1(value) if value < 700 else math.inf
