"""What the records of a run add to its page beside the report; all of it is absent where they are not there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from contract.verdict import Report
from report.figures.tails import Tails, tails_of
from report.judging.cell_noise import CellNoise, cell_noise


@dataclass(frozen=True)
class Beside:
    """Order statistics of the judged stages, and how far the cells of a winner map lie from themselves."""

    tails: Tails = field(default_factory=dict)
    cells: CellNoise | None = None


NOTHING = Beside()


def beside(report: Report, results: Path) -> Beside:
    """Read it from the folder of the run."""
    return Beside(tails_of(report, results), cell_noise(report, results))
