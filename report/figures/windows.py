"""The windows of one stage, one for each round, as if they were one: where a moment lies in them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.records import ServerCounters, StageObservation
from contract.statistics import Floats

SECOND = 1e9
Moments = NDArray[np.int64]
Span = tuple[int, int]  # first and last nanosecond, CLOCK_MONOTONIC


class Windows:
    """Spans that do not overlap, in the order of time. Positions are seconds of them, one after the other."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = sorted(spans)
        self._starts = np.array([start for start, _ in self.spans], dtype=np.int64)
        self._ends = np.array([end for _, end in self.spans], dtype=np.int64)
        lengths = (self._ends - self._starts) / SECOND
        self._before = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        self.seconds = float(lengths.sum())

    def inside(self, moments: Moments) -> NDArray[np.bool_]:
        """Which moments lie in one of the windows: from its start until before its end."""
        found = np.zeros(len(moments), dtype=bool)
        for start, end in self.spans:
            found |= (moments >= start) & (moments < end)
        return found

    def position(self, moments: Moments) -> Floats:
        """Seconds, of moments that lie inside."""
        which = self._which(moments)
        found: Floats = self._before[which] + (moments - self._starts[which]) / SECOND
        return found

    def answered(self, intended: Moments, done: Moments) -> Floats:
        """When requests that were intended inside had their answers: one that came after its window, after them all."""
        which = self._which(intended)
        late = (done - self._ends[which]) / SECOND
        return np.where(late < 0, self._before[which] + (done - self._starts[which]) / SECOND, self.seconds + late)

    def _which(self, moments: Moments) -> NDArray[np.intp] | int:
        """In which window moments lie that lie inside: one for all where there is only one."""
        return np.searchsorted(self._starts, moments, side="right") - 1 if len(self.spans) > 1 else 0


def final(observations: Sequence[StageObservation], stage: int) -> list[StageObservation]:
    """Of the attempts at a stage in each round the last, which counts."""
    last = {seen.round: seen for seen in observations if seen.stage == stage}
    return [last[turn] for turn in sorted(last)]


def counted(rounds: Sequence[StageObservation]) -> ServerCounters | None:
    """What the server counted in all rounds; None where one of them is not known."""
    known = [seen.server for seen in rounds if seen.server is not None]
    if len(known) < len(rounds):
        return None
    sums: dict[str, int | None] = {}
    for name in ServerCounters.model_fields:
        values = [getattr(item, name) for item in known]
        sums[name] = None if None in values else sum(values)
    return ServerCounters.model_validate(sums)
