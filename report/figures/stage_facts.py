"""What the constraints of validity look at, of one stage. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.certificate import CeilingOf, OpenCeiling
from contract.records import Mode
from contract.statistics import Floats
from report.figures.certificate import NOBODY_DID
from report.figures.other_work import OtherWork


@dataclass(frozen=True)
class StageFacts:
    """What the constraints look at. Lateness in milliseconds; moments are seconds since the window's start: ``due_s``,
    ascending, of every request, ``good_done_s`` of those that were answered well.

    ``ceiling_rps`` is what the load generator can do at most in a closed loop (requests per second), None where it was
    not certified, and then ``uncertified`` says why; ``open_ceiling`` is the same of an open loop, None where it is not
    known.
    """

    mode: Mode
    duration_s: float
    planned_s: float  # of the rounds that were measured
    one_rate: bool  # open: whether it never changes
    in_flight: int  # the most that was allowed
    requests: int
    failed: int
    due_s: Floats
    sent_late_ms: Floats
    good_done_s: Floats
    answered_rps: float  # good answers that came within the window, whenever they were asked for
    client_cpu: float
    answers_checked: int
    wrong_answers: int
    wrong_reason: str | None
    ceiling_rps: float | None = None
    ceiling_of: CeilingOf = "client"
    open_ceiling: OpenCeiling | None = None
    uncertified: str = NOBODY_DID
    lost: Sequence[str] = ()  # load processes, or users of a closed loop, that were not there
    aborted: bool = False
    interrupted: bool = False  # by whoever had started the run
    sought: bool = False  # a step of a search, which ends a window that is hopeless or clear
    other: OtherWork | None = None  # beside server and load on the machine; None where it is not known
    held: int = 0  # of what was sent late, so many were held back by the in-flight limit
