"""The few figures that stand for a variant where runs are compared: side by side, over time, in logs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from contract.verdict import Noise, Report, StageResult, Variant
from report import words
from report.judging import margin


@dataclass(frozen=True)
class Headline:
    """One figure: its unit, which way is better, the key of the SLO that promises it ("" for none), how it is read.

    ``noise`` is the relative difference up to which two of it mean nothing, by what a run measured twice (`margin.py`).
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    promise: str
    of: Callable[[Report, Variant], float | None]
    noise: Callable[[Noise], float | None]


def _open_figure(
    name: str, of: Callable[[StageResult], float | None], noise: Callable[[Noise], float | None]
) -> Headline:
    """A latency of the stage that the SLO is judged at, milliseconds; None where that is not valid.

    What was measured at another rate than the promised one, as by a search, is no figure to compare with other runs.
    """

    def value(report: Report, variant: Variant) -> float | None:
        stage = words.open_stage(report, variant)
        if stage is None or not stage.valid:
            return None
        promised = report.objectives.get(variant.model, {}).get("rate")
        return of(stage) if promised is None or stage.target == promised else None

    return Headline(name, "ms", "lower", f"{name}_ms", value, noise)


def _throughput(report: Report, variant: Variant) -> float | None:
    valid = [stage.throughput_rps for stage in words.closed_stages(variant)[-1:] if stage.valid]
    return valid[0] if valid else None


def _max_rate(report: Report, variant: Variant) -> float | None:
    # Without a search it is only the rate that was tried.
    return variant.slo.max_rps.value if report.search is not None else None


HEADLINES: dict[str, Headline] = {
    item.name: item
    for item in (
        _open_figure("p50", lambda stage: stage.latency_ms.p50.value, margin.of_p50),
        _open_figure("p99", lambda stage: stage.latency_ms.p99.value, margin.of_p99),
        # What is measured twice is an open loop: a stall delays all that was due then, and a closed loop forgives it.
        Headline("throughput", "req/s", "higher", "", _throughput, lambda noise: None),
        Headline("max rate", "req/s", "higher", "rate", _max_rate, margin.of_rate),
    )
}


def headlines(report: Report, variant: Variant) -> Iterator[tuple[Headline, float]]:
    """The figures that there are."""
    for item in HEADLINES.values():
        value = item.of(report, variant)
        if value is not None:
            yield item, value
