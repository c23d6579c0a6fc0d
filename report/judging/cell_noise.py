"""How far the cells of a winner map lie from themselves: one variant went through all of them twice (A/A).

One pair of figures is small by luck as easily as it is large; a dozen of them, one per cell, tell how widely such pairs
lie. Their differences are taken relative to each other's mean and with zero as their centre, so what the machine
drifted between the first time and the second is noise too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.files import read_model
from contract.records import Plan, VariantPlan
from contract.verdict import Report, StageResult
from report.figures.cells import counts, rows_of
from report.figures.reading import Context, measure

LEAST_PAIRS = 3
# Pairs -> the 99.5 % point of Student's t with so many degrees of freedom: of 100 pairs 99 lie within so many root mean
# squares. Between two of them the one for fewer pairs is taken, which is the wider.
STUDENT = {
    3: 5.841,
    4: 4.604,
    5: 4.032,
    6: 3.707,
    7: 3.499,
    8: 3.355,
    9: 3.250,
    10: 3.169,
    11: 3.106,
    12: 3.055,
    15: 2.947,
    20: 2.845,
    30: 2.750,
    60: 2.660,
}


@dataclass(frozen=True)
class CellNoise:
    """Of ``pairs`` cells that ``variant`` went through twice; ``relative`` is None below `LEAST_PAIRS`.

    Two throughputs of one variant in one cell differ by less than ``relative`` in 99 of 100 cells.
    """

    variant: str
    pairs: int
    relative: float | None


def cell_noise(report: Report, results: Path) -> CellNoise | None:
    """Read it from the folder of the run; None where no cell was planned twice, or its records are not there."""
    if not (results / "plan.json").is_file():
        return None
    plan = read_model(results / "plan.json", Plan, "make loadtest")
    twin = next((item for item in plan.variants if item.repeat_of and _has_cells(item)), None)
    first = next((item for item in report.variants if twin and item.id == twin.repeat_of), None)
    if twin is None or first is None:
        return None
    again = {stage.name: stage for stage in measure(results, twin, Context.of(results, plan)).stages}
    pairs = [(stage, again[stage.name]) for stage in first.stages if stage.name in again]
    return noise_of_pairs(first.id, [(a.throughput_rps, b.throughput_rps) for a, b in pairs if _both(a, b)])


def noise_of_pairs(variant: str, pairs: Sequence[tuple[float, float]]) -> CellNoise:
    """From the throughputs of both times, in any unit; they are above 0."""
    if len(pairs) < LEAST_PAIRS:
        return CellNoise(variant, len(pairs), None)
    squares = [((again - first) / ((again + first) / 2)) ** 2 for first, again in pairs]
    spread = math.sqrt(sum(squares) / len(squares))
    return CellNoise(variant, len(pairs), STUDENT[max(n for n in STUDENT if n <= len(pairs))] * spread)


def _has_cells(item: VariantPlan) -> bool:
    return any(rows_of(stage) is not None for stage in item.stages)


def _both(first: StageResult, again: StageResult) -> bool:
    measured = all(counts(stage) and stage.throughput_rps > 0 for stage in (first, again))
    return measured and rows_of(first) is not None
