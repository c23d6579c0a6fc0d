"""The steps that a `Session` asks for, one at a time; in the master of its load test."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from contract.errors import ServerError
from contract.files import read_model
from contract.records import Plan
from loadtest.master.asking import ASKED, TOLD, Asked, Lines, Measured, Told, append
from loadtest.master.steps import Step

logger = logging.getLogger(__name__)


class AskedFor:
    """What is asked for in ``results``. The session writes plan.json before it asks; whoever is gone asks no more.

    ``pause`` lets others run between two looks for the next question.
    """

    def __init__(self, plan: Plan, results: Path, pause: Callable[[], None]) -> None:
        self.plan = plan
        self._results = results
        self._pause = pause
        self._lines = Lines(results / ASKED)
        self._session = os.getppid()
        self._number = 0

    def next(self) -> Step | None:
        while (asked := self._lines.next(Asked)) is None:
            if os.getppid() != self._session:
                logger.error("the process that asked for steps is gone: the run ends here")
                return None
            self._pause()
        if asked.end:
            return None
        self.plan = read_model(self._results / "plan.json", Plan, "make loadtest")
        self._number = asked.number
        # Each stage draws anew, for the counts of two probes at one rate have to be independent. The variants' n-th
        # stages draw alike: what differs between them is the server.
        return Step(1, asked.variant, asked.stage, draw=asked.stage, early=asked.early)

    def ended(self, step: Step, measured: Measured, spoiled: bool) -> None:
        """Whether it is measured again is for whoever asked."""
        append(self._results / TOLD, Told(number=self._number, measured=measured))

    def refused(self, step: Step, error: ServerError) -> None:
        append(self._results / TOLD, Told(number=self._number, error=str(error)))
