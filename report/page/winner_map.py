"""Which variant does the most inferences per second, by rows of a request and users: winners flip with both.

Pure. A cell is a closed-loop stage whose requests all have the same number of rows; the built-in load plan ``map``
measures a grid of them. Variants compete with their equals only; where engines do so, each has a map of its own, too. A
difference is a tie where it is below the noise, or below what chance explains by how far the parts of the two windows
lie apart (99 %). The noise is that of cells that one variant went through twice (`cell_noise.py`). Older runs have
none: there it is that of the open loop's mean latency, since a closed loop's throughput is its users over that mean,
and the page says so.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from contract.statistics import mean_interval
from contract.verdict import Report, StageResult, Variant
from report import words
from report.figures.cells import failed, rows_of
from report.judging import margin
from report.judging.cell_noise import CellNoise
from report.page.figures import Chart, Row

LEAST_PARTS = 5  # of a window, to know how far they lie apart
CLIENT_BOUND = "client-bound"
COLUMNS = ("class", "rows", "users", "variant", "inferences/s", "place", "state")


@dataclass(frozen=True)
class Figure:
    """What one variant did in a cell: inferences per second; ``state`` says why it cannot win there, if it cannot.

    ``chance`` is half the 99 % interval of the figure, relative, by batch means over the parts of its window.
    """

    variant: str
    inferences_s: float
    state: str
    chance: float

    def near(self, best: Figure, noise: float) -> bool:
        """Whether it is no worse than the best, for all that is known; ``noise`` is that of the run, relative."""
        within = max(noise, math.hypot(self.chance, best.chance))
        return self.bound or self.inferences_s * (1 + within) >= best.inferences_s

    @property
    def counts(self) -> bool:
        """Whether it may lead."""
        return self.state in ("", CLIENT_BOUND)

    @property
    def bound(self) -> bool:
        """Whether the load generator was the limit: the server could do more, and might lead."""
        return self.state == CLIENT_BOUND


@dataclass(frozen=True)
class Cell:
    """One number of rows and users: every figure, highest first, and who leads: nobody, one, or several in a tie."""

    rows: int
    users: int
    figures: tuple[Figure, ...]
    leaders: tuple[str, ...]

    @property
    def counting(self) -> list[Figure]:
        """The figures that may lead."""
        return [figure for figure in self.figures if figure.counts]

    @property
    def best(self) -> Figure | None:
        """The highest figure that counts."""
        return next(iter(self.counting), None)

    @property
    def unopposed(self) -> bool:
        """Whether it is the only one that counts."""
        return len(self.counting) == 1

    @property
    def winner(self) -> str | None:
        """The one that leads; null for a tie and where nothing counts."""
        return self.leaders[0] if len(self.leaders) == 1 else None

    @property
    def undecided(self) -> bool:
        """Whether who leads cannot be told, since the load generator held one of them back."""
        return len(self.leaders) > 1 and any(f.bound for f in self.figures if f.variant in self.leaders)


@dataclass(frozen=True)
class WinnerMap:
    """The cells of one model within one class of equals, or of those on one engine. A missing cell was not measured."""

    model: str
    rank_class: str
    engine: str  # empty: all of them
    cells: dict[tuple[int, int], Cell]

    @property
    def among(self) -> str:
        """Who competes."""
        return f"{self.rank_class}, {words.ENGINES[self.engine]} alone" if self.engine else self.rank_class

    def of(self, report: Report) -> list[Variant]:
        """The equals, in the order of the report."""
        equals = [v for v in report.variants if (v.model, v.rank_class) == (self.model, self.rank_class)]
        return _on(self.engine, equals)

    @property
    def rows(self) -> list[int]:
        """Rows per request, rising."""
        return sorted({rows for rows, _ in self.cells})

    @property
    def users(self) -> list[int]:
        """Users of the closed loop, rising."""
        return sorted({users for _, users in self.cells})


def winner_maps(report: Report, cells: CellNoise | None = None) -> list[WinnerMap]:
    """A map per model and class of equals that went through at least one such stage; often there is none.

    Where engines compete, one more for each engine on which there is a choice.
    """
    own = cells.relative if cells else None
    noise = own if own is not None else margin.of_mean(report.noise) or 0.0  # not known: the page says so
    found = []
    for key in dict.fromkeys((variant.model, variant.rank_class) for variant in report.variants):
        equals = [variant for variant in report.variants if (variant.model, variant.rank_class) == key]
        for engine in ("", *_choices(equals)):
            cells_of = _cells(_on(engine, equals), noise)
            if cells_of:
                found.append(WinnerMap(*key, engine, cells_of))
    return found


def _on(engine: str, variants: list[Variant]) -> list[Variant]:
    return [variant for variant in variants if engine in ("", variant.engine)]


def _choices(equals: list[Variant]) -> list[str]:
    """The engines on which several may win, where more than one may."""
    ranked = Counter(variant.engine for variant in equals if variant.rankable)
    return [engine for engine, count in ranked.items() if count > 1] if len(ranked) > 1 else []


def _cells(variants: list[Variant], noise: float) -> dict[tuple[int, int], Cell]:
    figures: dict[tuple[int, int], list[Figure]] = {}
    for variant in variants:
        for stage in variant.stages:
            rows = rows_of(stage)
            if rows is not None:
                figures.setdefault((rows, int(stage.target)), []).append(_figure(variant, stage, rows))
    return {place: _cell(place, figures[place], noise) for place in sorted(figures)}


def _figure(variant: Variant, stage: StageResult, rows: int) -> Figure:
    if not variant.rankable:
        state = "not ranked"
    elif against := failed(stage):
        state = f"INVALID: {', '.join(against)}"
    else:
        state = CLIENT_BOUND if stage.client_bound else ""
    return Figure(variant.id, stage.throughput_rps * rows, state, _chance(stage))


def _chance(stage: StageResult) -> float:
    parts = np.array([point.throughput_rps for point in stage.course])
    if len(parts) < LEAST_PARTS or not parts.any():
        return 0.0
    mean, low, high = mean_interval(parts)
    return (high - low) / 2 / mean


def _cell(place: tuple[int, int], figures: list[Figure], noise: float) -> Cell:
    ordered = sorted(figures, key=lambda figure: -figure.inferences_s)
    counting = [figure for figure in ordered if figure.counts]
    leaders = tuple(figure.variant for figure in counting if figure.near(counting[0], noise))
    return Cell(*place, tuple(ordered), leaders)


def table(found: WinnerMap, names: dict[str, str], identity: str) -> Chart:
    """Every figure of a map, for the table and its download."""
    rows: list[Row] = []
    for cell in found.cells.values():
        for figure in cell.figures:
            place = "" if figure.variant not in cell.leaders else _place(cell)
            name = names.get(figure.variant, figure.variant)
            rows.append((found.among, cell.rows, cell.users, name, figure.inferences_s, place, figure.state))
    return Chart(identity, f"Winner map of {found.model}, {found.among}", "", (), COLUMNS, tuple(rows))


def _place(cell: Cell) -> str:
    return "wins" if cell.winner else "undecided" if cell.undecided else "tie"
