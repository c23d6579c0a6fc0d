"""Under which load the p99s of variants are compared: the same rate and the same requests for all of them. Pure.

A plan may have several open-loop stages, and one of them may be invalid for one variant only. Its p99 at another rate,
or of other requests, is another figure: it is not compared, and the report says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.statistics import PERCENTILES
from contract.verdict import Percentile, StageResult, Variant
from report import words


@dataclass(frozen=True)
class Load:
    """A rate in requests per second, and what is sent (`StageResult.payloads`)."""

    rate: float
    payloads: str

    def __str__(self) -> str:
        return f"{words.plain(self.rate)} requests/s{f' of {self.payloads}' if self.payloads else ''}"

    def stage_of(self, variant: Variant) -> StageResult | None:
        """The first valid stage of the variant under this load that objectives are judged on."""
        return next((stage for stage in _judged(variant) if _load(stage) == self), None)


def equal_load(variants: Sequence[Variant], promised: float | None) -> Load | None:
    """The load under which these variants are compared; None where no valid stage was judged.

    It is one that the best of them went through: those that keep their objectives, where any does. The rate that was
    promised (requests per second) comes first, then what most of them have, then the order of the plan.
    """
    best = [variant for variant in variants if variant.slo.passed] or variants
    found = [dict.fromkeys(_load(stage) for stage in _judged(variant)) for variant in best]
    every = dict.fromkeys(load for loads in found for load in loads)
    return min(every, key=lambda load: (load.rate != promised, -sum(load in loads for loads in found)), default=None)


def stage_at(variant: Variant, rate: float | None) -> StageResult | None:
    """The valid stage that showed a rate, of several the last confirmation: what is told of a rate was measured at it.

    ``rate`` is in requests per second; None, as of a search that confirmed nothing, has no stage.
    """
    shown = [stage for stage in _judged(variant) if stage.target == rate]
    return max(reversed(shown), key=lambda stage: stage.purpose == "confirm", default=None)


def promised_of(stage: StageResult, objectives: Mapping[str, float]) -> list[Percentile]:
    """The percentiles of a stage that are promised, lower ones first; ``objectives`` by the keys of the `slo`."""
    return [getattr(stage.latency_ms, name) for name in PERCENTILES if f"{name}_ms" in objectives]


def claimable(variant: Variant, objectives: Mapping[str, float]) -> bool:
    """Whether every percentile that is promised may be claimed at the rate that the variant was seen to keep."""
    stage = stage_at(variant, variant.slo.max_rps.value)
    return stage is not None and all(found.upper is not None for found in promised_of(stage, objectives))


def _judged(variant: Variant) -> list[StageResult]:
    return [stage for stage in variant.stages if stage.of_slo and stage.valid]


def _load(stage: StageResult) -> Load:
    return Load(stage.target, stage.payloads)
