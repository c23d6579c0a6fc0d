"""What variants of a model are compared by: the p99 at one rate, or the highest rate that was sought. Pure.

Both answer the same questions, so ranking and advice are written once: who comes first, who is too close to tell, by
how much another one is behind, and how that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.search import Search
from contract.verdict import Noise, StageResult, Variant
from report import margin, words

Key = tuple[bool, float]


def open_stage(variant: Variant) -> StageResult | None:
    """The valid open-loop stage that a variant is ranked by: the one at the common rate, or its confirmation."""
    usable = [stage for stage in variant.stages if stage.of_slo and stage.valid]
    confirmed = [stage for stage in usable if stage.purpose == "confirm" and stage.target == variant.slo.max_rps.value]
    return next(iter([*reversed(confirmed), *usable]), None)


def rank_p99(variant: Variant) -> float:
    """The open-loop p99 in milliseconds, infinite where there is none."""
    stage = open_stage(variant)
    return stage.latency_ms.p99.value if stage and stage.latency_ms.p99.value is not None else float("inf")


def rank_rate(variant: Variant) -> float:
    """The highest rate under the objectives, requests per second, 0 where none was confirmed."""
    return variant.slo.max_rps.value or 0.0


class Merit(Protocol):
    """How variants of one model and one class of equals are compared."""

    def counts(self, variant: Variant) -> bool:
        """Whether there is a figure to compare at all."""

    def key(self, variant: Variant) -> Key:
        """Sorts the best first."""

    def near(self, best: Variant, other: Variant) -> bool:
        """Whether ``other`` is so close to the best that the difference means nothing."""

    def within(self) -> str:
        """What near ones differ by less than; empty where that is not known."""

    def lead(self, best: Variant, others: Sequence[Variant]) -> str:
        """Who is best, and against whom."""

    def tie(self, tied: Sequence[Variant]) -> str:
        """Who is too close to tell apart, the first of them the best."""

    def figure(self, variant: Variant) -> str:
        """What is compared, with its unit."""

    def behind(self, best: Variant, other: Variant) -> str:
        """By how much ``other`` is worse, with its figure."""


@dataclass(frozen=True)
class ByLatency:
    """Objectives kept first, then the lowest open-loop p99 at the same rate.

    ``noise`` is relative (`margin.of_p99`). Where it is None all that keep the objectives are near to each other, and
    all that miss them.
    """

    noise: float | None

    def counts(self, variant: Variant) -> bool:
        return True

    def key(self, variant: Variant) -> Key:
        return not variant.slo.passed, rank_p99(variant)

    def near(self, best: Variant, other: Variant) -> bool:
        if bool(other.slo.passed) != bool(best.slo.passed):
            return False
        return self.noise is None or rank_p99(other) <= rank_p99(best) * (1 + self.noise)

    def within(self) -> str:
        return "" if self.noise is None else f"the noise of this run ({words.share(self.noise)})"

    def lead(self, best: Variant, others: Sequence[Variant]) -> str:
        text = f"{words.label(best)} is best, p99 {rank_p99(best):.2f} ms at {_rate(best)}"
        if not others:
            return f"{text}, the only one of its class"
        text += f", against {rank_p99(others[0]):.2f} ms of {words.label(others[0])}"
        slower_one_keeps = best.slo.passed and not others[0].slo.passed
        return f"{text}, which misses the objectives" if slower_one_keeps else text

    def tie(self, tied: Sequence[Variant]) -> str:
        figures = ", ".join(f"{rank_p99(variant):.2f}" for variant in tied)
        return _tie(tied, f"p99 at {_rate(tied[0])} ({figures} ms)", self.within())

    def figure(self, variant: Variant) -> str:
        return f"p99 {words.number(rank_p99(variant))} ms at {_rate(variant)}" if open_stage(variant) else "no p99"

    def behind(self, best: Variant, other: Variant) -> str:
        higher = rank_p99(other) / rank_p99(best) - 1
        return f"p99 {words.percent(higher)} higher ({words.number(rank_p99(other))} ms)"


@dataclass(frozen=True)
class ByRate:
    """The highest rate under the objectives. Neither what differs by chance nor what the search cannot resolve counts.

    ``noise`` is the relative difference of the rates that were found for the same variant twice, ``resolution`` the
    relative distance between a rate that was kept and the next one that was missed. Where the noise is None all rates
    that keep the objectives are near to each other, and all that miss them.
    """

    noise: float | None
    resolution: float

    def counts(self, variant: Variant) -> bool:
        return rank_rate(variant) > 0

    def key(self, variant: Variant) -> Key:
        return not self.counts(variant), -rank_rate(variant)

    def near(self, best: Variant, other: Variant) -> bool:
        if self.noise is None:
            return self.counts(other) and bool(other.slo.passed) == bool(best.slo.passed)
        return rank_rate(other) >= rank_rate(best) * (1 - max(self.noise, self.resolution))

    def within(self) -> str:
        if self.noise is None:
            return ""
        if self.noise >= self.resolution:
            return f"the noise of this run ({words.share(self.noise)})"
        return f"the resolution of the search ({words.share(self.resolution)})"

    def lead(self, best: Variant, others: Sequence[Variant]) -> str:
        text = f"{words.label(best)} holds the highest rate under the objectives, {_held(best)} requests/s"
        found = [variant for variant in others if self.counts(variant)]
        if not others:
            return f"{text}, the only one of its class"
        if not found:
            return f"{text}; no rate of its equals was confirmed"
        return f"{text}, against {_held(found[0])} of {words.label(found[0])}"

    def tie(self, tied: Sequence[Variant]) -> str:
        figures = ", ".join(_held(variant) for variant in tied)
        return _tie(tied, f"highest rates under the objectives ({figures} requests/s)", self.within())

    def figure(self, variant: Variant) -> str:
        return f"{_held(variant)} requests/s" if self.counts(variant) else "no rate was confirmed"

    def behind(self, best: Variant, other: Variant) -> str:
        slower = 1 - rank_rate(other) / rank_rate(best)
        return f"slower by {words.percent(slower)} ({self.figure(other)})"


def merit_of(noise: Noise, search: Search | None) -> Merit:
    """Rates where they were sought, else latencies at the rate of the objective."""
    if search is None:
        return ByLatency(margin.of_p99(noise))
    return ByRate(margin.of_rate(noise), search.resolution)


def _tie(tied: Sequence[Variant], figures: str, within: str) -> str:
    if not within:
        return f"{margin.UNKNOWN}, so no winner between {_names(tied)}; their {figures}"
    return f"A tie between {_names(tied)}; their {figures} differ by less than {within}"


def _held(variant: Variant) -> str:
    """The rate, and whether the variant could do more than the load generator."""
    beyond = " or more" if variant.slo.max_rps.limited_by == "load generator" else ""
    return words.number(rank_rate(variant)) + beyond


def _rate(variant: Variant) -> str:
    stage = open_stage(variant)
    return f"{stage.target:g} requests/s" if stage else "no rate"


def _names(variants: Sequence[Variant]) -> str:
    return " and ".join(words.label(variant) for variant in variants)
