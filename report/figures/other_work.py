"""Whether the machine was busy with other work than the measurement while a stage was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from contract.verdict import ServerSide

MUCH = 0.25  # of the machine's cores: what the kernel and the sampling need themselves is far below
HAD_TIME = 0.5  # of a core: a load process that used less was not what was late
QUIET = "measure again on a quiet machine: other work was in the way, neither the client nor the server"


@dataclass(frozen=True)
class OtherWork:
    """What took ``taken`` of the ``cores`` of the machine that the load came from, beside server and load."""

    taken: float
    cores: int

    @property
    def much(self) -> bool:
        """Whether it says more about the figures than the server does."""
        return self.taken >= MUCH * self.cores

    @property
    def words(self) -> str:
        """E.g. ``other work took 1.6 of 2 cores``."""
        return f"other work took {self.taken:.1f} of {self.cores} cores"


def other_work(side: ServerSide | None) -> OtherWork | None:
    """What was not the server's and not the load generator's; None where one of them was not sampled."""
    if side is None or side.other_cpu is None or not side.cores:
        return None
    return OtherWork(side.other_cpu, side.cores)


def in_the_way(work: OtherWork | None) -> str:
    """For the detail of a check that failed: that there was much other work; empty where it is not known."""
    return f"; {work.words}" if work and work.much else ""
