"""What is said of a winner map: who leads where, and below which difference nobody does. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from contract.verdict import Noise
from report import words
from report.judging import margin
from report.judging.cell_noise import CellNoise
from report.page.winner_map import WinnerMap

HOUR = "so a narrow lead may be the hour's and not the variant's"


def summary(found: WinnerMap, names: Mapping[str, str]) -> str:
    """Who leads where, in one sentence: whether the winner changes with rows and users."""
    cells = found.cells.values()
    won = Counter(cell.winner for cell in cells if cell.winner)
    kinds = {
        "tied": sum(len(cell.leaders) > 1 and not cell.undecided for cell in cells),
        "undecided, for the load generator was the limit": sum(cell.undecided for cell in cells),
        "without a figure that is ranked": sum(not cell.leaders for cell in cells),
    }
    parts = [f"{names.get(variant, variant)} leads in {count}" for variant, count in won.most_common()]
    parts += [f"{count} {'is' if count == 1 else 'are'} {what}" for what, count in kinds.items() if count]
    start = "The winner changes with rows and users: of" if len(won) > 1 else "Of"
    return f"{start} {words.counted(len(cells), 'cell')}, {', '.join(parts)}."


def closeness(noise: Noise, cells: CellNoise | None, names: Mapping[str, str]) -> str:
    """When a difference is a tie: by what the cells showed of themselves, else by what the open loop did."""
    tie = "A difference is a tie where chance within the two windows explains it (99 %)"
    if cells is not None and cells.relative is not None:
        twice = f"{names.get(cells.variant, cells.variant)} went through {cells.pairs} of these cells twice (A/A)"
        return f"{tie}, and below {words.share(cells.relative)}: {twice}, by which 99 of 100 cells differ by less."
    few = "No cell was measured twice"
    if cells is not None:
        few = f"Only {words.counted(cells.pairs, 'cell')} {'was' if cells.pairs == 1 else 'were'} measured well twice"
    borrowed = margin.of_mean(noise)
    if borrowed is None:
        return f"{tie}; how far the run lies from itself (A/A) is not known. {few}, {HOUR}."
    how = "how far the mean latency of the open loop lies from itself (A/A)"
    return f"{tie}, and below {words.share(borrowed)}, {how}. {few}, {HOUR}."
