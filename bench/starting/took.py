"""What a start takes: seconds, processor, memory. Neighbours on the machine change the last two less than the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of CPU time over all cores."""

    seconds: float
    cpu_s: float


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and all that it has started, until now."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return float(sum(sum(member.cpu_times()[:2]) for member in family))  # user and system


def own_mib(pid: int) -> float:
    """Memory of a process that is nobody else's, MiB: without its libraries, which all who use them share."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("Anonymous:")]
    return int(found) / KIB_PER_MIB


def total(pieces: Sequence[Took]) -> Took:
    """One after the other."""
    return Took(sum(piece.seconds for piece in pieces), sum(piece.cpu_s for piece in pieces))
