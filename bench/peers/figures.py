"""Rounds, medians, ratios and what is wanted of them. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.hop.repository import EMPTY

# concurrency -> peer -> ours over the peer's requests per second, at least
WANTED: dict[int, dict[str, float]] = {
    16: {"fastapi": 1.3},
    64: {"fastapi": 1.7, "pytriton": 3.5, "litserve": 6.0, "bentoml": 6.0, "mlserver": 6.0, "mosec": 0.8},
}
BUSY = 0.85  # of a core: a client that takes more may be what limits the figure


@dataclass(frozen=True)
class Spread:
    """A median between the least and the most that was measured."""

    median: float
    least: float
    most: float

    def rounded(self, digits: int) -> dict[str, float]:
        return {
            "median": round(self.median, digits),
            "min": round(self.least, digits),
            "max": round(self.most, digits),
        }

    def shown(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.most:.{digits}f})"


@dataclass(frozen=True)
class Ratio:
    """Ours over a peer's at one concurrency, and what is wanted."""

    users: int
    ours: str
    peer: str
    spread: Spread
    wanted: float | None

    @property
    def reached(self) -> bool | None:
        """Whether the median is what is wanted; None where nothing is."""
        return None if self.wanted is None else self.spread.median >= self.wanted


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of one round: each begins with another, so that none is always the first or the last."""
    start = number % len(names) if names else 0
    return [*names[start:], *names[:start]]


def wanted(ours: str, peer: str, users: int) -> float | None:
    """What is wanted over this peer; of a Triton that computes nothing it is nothing."""
    return None if ours.split("/")[0] == EMPTY else WANTED.get(users, {}).get(peer.split("/")[0])


def ratios(
    rates: dict[str, dict[int, dict[int, float]]], versus: dict[str, list[str]], users: Sequence[int]
) -> list[Ratio]:
    """Per round, ours over the peer's: only rounds in which both were measured count.

    ``rates`` is name -> users -> round -> requests per second; ``versus`` is peer -> those of ours that it is
    compared with.
    """
    found = []
    for count in users:
        for peer, ours in ((peer, ours) for peer, several in versus.items() for ours in several):
            left, right = rates.get(ours, {}).get(count, {}), rates.get(peer, {}).get(count, {})
            both = [left[number] / right[number] for number in sorted(left.keys() & right.keys()) if right[number]]
            if both:
                found.append(Ratio(count, ours, peer, spread(both), wanted(ours, peer, count)))
    return found


def judged(ratio: Ratio) -> str:
    """One line of the table."""
    words = f"{ratio.users:4}  {ratio.ours} over {ratio.peer:16} {ratio.spread.shown()}x"
    if ratio.wanted is None:
        return words
    return f"{words}, wanted at least {ratio.wanted:g}x: {'reached' if ratio.reached else 'MISSED'}"
