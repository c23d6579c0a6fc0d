"""Variants compared by their p99 under one load. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.verdict import StageResult, Variant
from report import words
from report.judging.equal_load import Load
from report.judging.ties import names, tie


@dataclass(frozen=True)
class ByLatency:
    """Objectives kept first, then the lowest open-loop p99 under one load (`equal_load.py`).

    ``noise`` is relative (`margin.of_p99`). Where it is None all that keep the objectives are near to each other, and
    all that miss them. Who has no valid stage under that ``load`` is near to nobody.
    """

    noise: float | None
    load: Load | None

    def stage(self, variant: Variant) -> StageResult | None:
        return self.load.stage_of(variant) if self.load else None

    def counts(self, variant: Variant) -> bool:
        return math.isfinite(self.p99(variant))

    def key(self, variant: Variant) -> tuple[bool, float]:
        return not variant.slo.passed, self.p99(variant)

    def near(self, best: Variant, other: Variant) -> bool:
        if bool(other.slo.passed) != bool(best.slo.passed) or not self.counts(other):
            return False
        return self.noise is None or self.p99(other) <= self.p99(best) * (1 + self.noise)

    def within(self) -> str:
        return "" if self.noise is None else f"the noise of this run ({words.share(self.noise)})"

    def lead(self, best: Variant, others: Sequence[Variant]) -> str:
        text = f"{words.label(best)} is best, {self.figure(best)}"
        compared = [variant for variant in others if self.counts(variant)]
        if not others:
            return text
        if compared:
            text += f", against {self.p99(compared[0]):.2f} ms of {words.label(compared[0])}"
            slower_one_keeps = best.slo.passed and not compared[0].slo.passed
            text += ", which misses the objectives" if slower_one_keeps else ""
        return text + self._left_out(others)

    def tie(self, tied: Sequence[Variant], others: Sequence[Variant]) -> str:
        figures = ", ".join(f"{self.p99(variant):.2f}" for variant in tied)
        return tie(tied, f"p99 at {self.load} ({figures} ms)", self.within()) + self._left_out(others)

    def figure(self, variant: Variant) -> str:
        return f"p99 {self.p99(variant):.2f} ms at {self.load}" if self.counts(variant) else self._missing()

    def behind(self, best: Variant, other: Variant) -> str:
        if not self.counts(other):
            return f"{self._missing()}, so it is not compared"
        higher = self.p99(other) / self.p99(best) - 1
        return f"p99 {words.percent(higher)} higher ({words.number(self.p99(other))} ms)"

    def p99(self, variant: Variant) -> float:
        """Milliseconds under the common load, infinite where there is no figure."""
        stage = self.stage(variant)
        return stage.latency_ms.p99.value if stage and stage.latency_ms.p99.value is not None else math.inf

    def _missing(self) -> str:
        return f"no valid p99 at {self.load}" if self.load else "no p99"

    def _left_out(self, others: Sequence[Variant]) -> str:
        """Who could not be compared, and for want of what."""
        without = [variant for variant in others if not self.counts(variant)]
        return f"; not compared, with {self._missing()}: {names(without)}" if without else ""
