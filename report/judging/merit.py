"""What variants of a model are compared by: the p99 under one load, or the highest rate that was sought. Pure.

Both answer the same questions, so ranking and advice are written once: who comes first, who is too close to tell, by
how much another one is behind, and how that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from contract.search import Search
from contract.verdict import Noise, StageResult, Variant
from report.judging import margin
from report.judging.by_latency import ByLatency
from report.judging.by_rate import ByRate
from report.judging.equal_load import equal_load


class Merit(Protocol):
    """How variants of one model and one class of equals are compared."""

    def stage(self, variant: Variant) -> StageResult | None:
        """The valid stage that the figure was measured in."""

    def counts(self, variant: Variant) -> bool:
        """Whether there is a figure to compare at all."""

    def key(self, variant: Variant) -> tuple[bool, float]:
        """Sorts the best first."""

    def near(self, best: Variant, other: Variant) -> bool:
        """Whether ``other`` is so close to the best that the difference means nothing."""

    def within(self) -> str:
        """What near ones differ by less than; empty where that is not known."""

    def lead(self, best: Variant, others: Sequence[Variant]) -> str:
        """Who is best, and against whom."""

    def tie(self, tied: Sequence[Variant], others: Sequence[Variant]) -> str:
        """Who is too close to tell apart, the first of them the best; ``others`` are the rest."""

    def figure(self, variant: Variant) -> str:
        """What is compared, with its unit."""

    def behind(self, best: Variant, other: Variant) -> str:
        """By how much ``other`` is worse, with its figure."""


def merit_of(
    noise: Noise, search: Search | None, variants: Sequence[Variant], objectives: Mapping[str, float]
) -> Merit:
    """Rates where they were sought, else latencies under one load.

    ``variants`` are those of one model that may be ranked, ``objectives`` what it promises, by the keys of its `slo`.
    """
    if search is None:
        return ByLatency(margin.of_p99(noise), equal_load(variants, objectives.get("rate")))
    return ByRate(margin.of_rate(noise), search.resolution)
