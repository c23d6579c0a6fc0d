"""Samples of what a run used, brought onto windows of time: gauges and counters of one subject. Pure.

CPU figures are differences of counters, interpolated at a window's edges, for a window begins and ends between two
samples. Where samples lie too far apart, or cover too little of a window, there is no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contract.samples import PERIOD_S
from contract.statistics import Floats
from contract.verdict import Used

SECOND = 1e9
MOST_GAP_S = 3.0  # between two samples that still speak for the time between them
LEAST_COVERED = 0.8  # of a window, for a figure about it
NEVER = "nothing was sampled within the window"
GAPS = f"its samples cover too little of the window, or lie over {MOST_GAP_S:g} s apart"

Window = tuple[int, int]  # first and last nanosecond, CLOCK_MONOTONIC


@dataclass(frozen=True)
class Samples:
    """A run's samples in the order of time (contract/samples.py), for the server of one engine."""

    table: pa.Table
    engine: str

    def around(self, windows: Sequence[Window]) -> Samples:
        """Those from a little before the first window to a little after the last."""
        at, margin = self.table.column("at_ns").to_numpy(), round(MOST_GAP_S * SECOND)
        first, end = np.searchsorted(at, [windows[0][0] - margin, windows[-1][1] + margin])
        return Samples(self.table.slice(first, end - first), self.engine)

    def of(self, subject: str) -> Series:
        """The readings of one subject, and why a figure of theirs may be missing."""
        rows = self.table.filter(pc.equal(self.table.column("subject"), subject))
        absent = rows.column("absent")
        refused = absent.filter(pc.not_equal(absent, ""))
        if not len(refused):
            return Series(rows, GAPS if len(rows) else NEVER)
        return Series(rows.filter(pc.equal(absent, "")), refused[-1].as_py().removeprefix("absent: "))

    def subjects(self, beginning: str) -> list[str]:
        """The subjects that begin so, in order."""
        names = {str(name) for name in self.table.column("subject").cast(pa.string()).unique().to_pylist()}
        return sorted(name for name in names if name.startswith(beginning))


class Series:
    """The readings of one subject in the order of time."""

    def __init__(self, table: pa.Table, why: str) -> None:
        self._table = table
        self.why = why
        self.at_s = self.column("at_ns") / SECOND

    def within(self, name: str, windows: Sequence[Window]) -> Floats:
        """The values of a column that were read within the windows; those that could not be read are left out."""
        inside = np.zeros(len(self.at_s), dtype=bool)
        for begin, end in windows:
            inside |= (self.at_s >= begin / SECOND) & (self.at_s < end / SECOND)
        found = self.column(name)[inside]
        known: Floats = found[np.isfinite(found)]
        return known

    def used(self, name: str, windows: Sequence[Window], scale: float = 1.0) -> Used | None:
        """Mean and most of a column that is read as it is (a gauge)."""
        found = self.within(name, windows) / scale
        return Used(mean=rounded(found.mean()), most=rounded(found.max())) if len(found) else None

    def spent(self, name: str, windows: Sequence[Window], per: float = 1.0) -> Used | None:
        """Mean and most per second of a column that counts seconds; None where a window is not covered by samples."""
        at, total = self._counted(name)
        rates = [_mean_rate(at, total, begin / SECOND, end / SECOND) for begin, end in windows]
        known = [rate for rate in rates if rate is not None]
        if not known or len(known) < len(rates):
            return None
        lengths = [end - begin for begin, end in windows]
        mean = float(np.average(known, weights=lengths))
        most = max(known, default=mean)
        for begin, end in windows:
            # Shorter steps than usual are left out: the kernel counts in hundredths of a second.
            whole = (at[:-1] >= begin / SECOND) & (at[1:] <= end / SECOND) & (np.diff(at) > PERIOD_S / 2)
            steps = np.diff(total)[whole] / np.diff(at)[whole]
            most = max(most, float(steps.max(initial=0.0)))
        return Used(mean=rounded(mean / per), most=rounded(most / per))

    def rates(self, name: str, edges_s: Floats) -> list[float | None]:
        """What a counter of seconds grew by per second between each two edges."""
        at, total = self._counted(name)
        return [_mean_rate(at, total, begin, end) for begin, end in pairwise(edges_s.tolist())]

    def at(self, name: str, moment_s: float) -> float | None:
        """The value of a gauge at a moment, between the two readings around it; None where they lie too far apart."""
        values = self.column(name)
        known = np.isfinite(values)
        at = self.at_s[known]
        if not _near(at, moment_s):
            return None
        return float(np.interp(moment_s, at, values[known]))

    def restarts(self, windows: Sequence[Window]) -> int:
        """How often another process was read than before."""
        return sum(int((np.diff(self.within("pid", [window])) != 0).sum()) for window in windows)

    def cores(self) -> list[Series]:
        """The machine's cores, each as a series of its own whose ``cpu_s`` counts."""
        lists = [item for item in self._table.column("core_s").to_pylist() if item]
        count = min((len(item) for item in lists), default=0)
        at = self._table.column("at_ns")
        if len(lists) < len(at):
            return []
        columns = [{"at_ns": at, "cpu_s": pa.array([item[core] for item in lists])} for core in range(count)]
        return [Series(pa.table(column), self.why) for column in columns]

    def column(self, name: str) -> Floats:
        """A column; NaN where it was not read."""
        return np.asarray(self._table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)

    def _counted(self, name: str) -> tuple[Floats, Floats]:
        """(seconds, total) of a counter; where it fell the server was started anew, and nothing is said of between."""
        values = self.column(name)
        known = np.isfinite(values)
        at, values = self.at_s[known], values[known]
        grown = np.diff(values, prepend=values[:1])
        return at, np.cumsum(np.maximum(grown, 0.0))


def _near(at: Floats, moment_s: float) -> bool:
    """Whether two readings around a moment are close enough to speak for it."""
    place = int(np.searchsorted(at, moment_s))
    around = at[max(place - 1, 0) : place + 1]
    return len(around) > 0 and bool(np.abs(around - moment_s).min() <= MOST_GAP_S / 2)


def _mean_rate(at: Floats, total: Floats, begin_s: float, end_s: float) -> float | None:
    """Growth per second of a counter between two moments, or None where too little of it is covered."""
    if len(at) < 2:
        return None
    first, last = max(begin_s, float(at[0])), min(end_s, float(at[-1]))
    if last - first < LEAST_COVERED * (end_s - begin_s):
        return None
    around = at[np.searchsorted(at, first, "right") - 1 : np.searchsorted(at, last, "left") + 1]
    if float(np.diff(around).max(initial=0.0)) > MOST_GAP_S:
        return None
    begun, ended = np.interp([first, last], at, total)
    return float((ended - begun) / (last - first))


def rounded(value: float) -> float:
    """Four places: a twentieth of a clock tick in half a second, and a hundredth of a per cent."""
    return round(float(value), 4)
