"""Variants compared by the highest rate under their objectives. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.verdict import StageResult, Variant
from report import words
from report.judging.equal_load import stage_at
from report.judging.ties import tie


@dataclass(frozen=True)
class ByRate:
    """The highest rate under the objectives. Neither what differs by chance nor what the search cannot resolve counts.

    ``noise`` is the relative difference of the rates that were found for the same variant twice, ``resolution`` the
    relative distance between a rate that was kept and the next one that was missed. Where the noise is None all rates
    that keep the objectives are near to each other, and all that miss them.
    """

    noise: float | None
    resolution: float

    def stage(self, variant: Variant) -> StageResult | None:
        return stage_at(variant, variant.slo.max_rps.value)

    def counts(self, variant: Variant) -> bool:
        return rank_rate(variant) > 0

    def key(self, variant: Variant) -> tuple[bool, float]:
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
            return text
        if not found:
            return f"{text}; no rate of its equals was confirmed"
        return f"{text}, against {_held(found[0])} of {words.label(found[0])}"

    def tie(self, tied: Sequence[Variant], others: Sequence[Variant]) -> str:
        figures = ", ".join(_held(variant) for variant in tied)
        return tie(tied, f"highest rates under the objectives ({figures} requests/s)", self.within())

    def figure(self, variant: Variant) -> str:
        return f"{_held(variant)} requests/s" if self.counts(variant) else "no rate was confirmed"

    def behind(self, best: Variant, other: Variant) -> str:
        slower = 1 - rank_rate(other) / rank_rate(best)
        return f"slower by {words.percent(slower)} ({self.figure(other)})"


def rank_rate(variant: Variant) -> float:
    """The highest rate under the objectives, requests per second, 0 where none was confirmed."""
    return variant.slo.max_rps.value or 0.0


def _held(variant: Variant) -> str:
    """The rate, and whether the variant could do more than the load generator."""
    beyond = " or more" if variant.slo.max_rps.limited_by == "load generator" else ""
    return words.number(rank_rate(variant)) + beyond
