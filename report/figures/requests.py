"""The requests of one stage as columns: those that were due in its windows, in the order of their intention. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.records import StageObservation
from contract.statistics import Floats
from report.figures.windows import Moments, Windows

MILLISECOND = 1e6
Flags = NDArray[np.bool_]


class Requests:
    """What was due. Every column has one entry per request; milliseconds are made when they are asked for.

    ``good`` says which had a good answer, ``errors`` counts the others by class in the order of their appearance.
    """

    def __init__(self, records: pa.Table, stage: int, rounds: Sequence[StageObservation]) -> None:
        """``records`` are those of one variant, of this stage or of all."""
        self.windows = Windows([(seen.window_start_ns, seen.window_end_ns) for seen in rounds])
        table = _of_stage(records, stage)
        intended = table.column("intended_ns").to_numpy()
        due = _in_order(intended, self.windows)
        self.intended_ns: Moments = intended[due]
        self.sent_ns: Moments = table.column("sent_ns").to_numpy()[due]
        self.done_ns: Moments = table.column("done_ns").to_numpy()[due]
        codes, classes = _failures(table)
        self.good: Flags = _good(codes, classes)[due]
        self.errors = _by_class(codes[due][~self.good], classes)

    def __len__(self) -> int:
        return len(self.intended_ns)

    @property
    def intended_s(self) -> Floats:
        """Seconds of the windows."""
        return self.windows.position(self.intended_ns)

    @property
    def done_s(self) -> Floats:
        """Seconds of the windows; what came after its own window comes after them all."""
        return self.windows.answered(self.intended_ns, self.done_ns)

    @property
    def latency_ms(self) -> Floats:
        """From the intended send to the whole answer."""
        found: Floats = (self.done_ns - self.intended_ns) / MILLISECOND
        return found

    @property
    def service_ms(self) -> Floats:
        """From the actual send to the whole answer."""
        found: Floats = (self.done_ns - self.sent_ns) / MILLISECOND
        return found

    @property
    def late_ms(self) -> Floats:
        """From the intended to the actual send."""
        found: Floats = (self.sent_ns - self.intended_ns) / MILLISECOND
        return found


def answered(records: pa.Table, stage: int, windows: Windows) -> tuple[Floats, Floats]:
    """Of the good answers that came within the windows, whenever they were asked for, and in no order.

    Seconds of the windows at which each came, and after how many milliseconds from its intended send.
    """
    table = _of_stage(records, stage)
    done = table.column("done_ns").to_numpy()
    came = _good(*_failures(table)) & windows.inside(done)
    moments = done[came]
    return windows.position(moments), (moments - table.column("intended_ns").to_numpy()[came]) / MILLISECOND


def _of_stage(records: pa.Table, stage: int) -> pa.Table:
    """The records of a stage; not a copy where there are no others."""
    mine = records.column("stage").to_numpy() == stage
    return records if mine.all() else records.filter(pa.array(mine))


def _in_order(intended: Moments, windows: Windows) -> NDArray[np.intp]:
    """Places of what was due, in the order of intention; those of one moment as they were."""
    due = np.flatnonzero(windows.inside(intended))
    return due[np.argsort(intended[due], kind="stable")]


def _failures(table: pa.Table) -> tuple[NDArray[np.int32], list[str]]:
    """The failure of each request as its place among the classes; a good answer has the empty one."""
    failures = table.column("error").combine_chunks()
    return failures.indices.to_numpy(), failures.dictionary.to_pylist()


def _good(codes: NDArray[np.int32], classes: Sequence[str]) -> Flags:
    found: Flags = codes == classes.index("") if "" in classes else np.zeros(len(codes), dtype=bool)
    return found


def _by_class(codes: NDArray[np.int32], classes: Sequence[str]) -> dict[str, int]:
    found, first, counts = np.unique(codes, return_index=True, return_counts=True)
    return {classes[found[place]]: int(counts[place]) for place in np.argsort(first)}
