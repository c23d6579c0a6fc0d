"""The stages of a winner map: closed loops whose requests all have one number of rows. Pure."""

from __future__ import annotations

import re

from contract.records import Stage
from contract.verdict import StageResult

ROWS = re.compile(r"rows-(\d+)")
# A percentile needs hundreds of requests, a rate does not: too few for a p99 says nothing against a throughput.
NOT_OF_THROUGHPUT = "samples for p99"


def rows_of(stage: Stage | StageResult) -> int | None:
    """Rows of every request of a closed-loop stage; None where they differ or are those of the golden batch."""
    found = ROWS.fullmatch(stage.payloads)
    return int(found[1]) if found and stage.mode == "closed" else None


def failed(stage: StageResult) -> list[str]:
    """The names of the checks that speak against its throughput."""
    return [check.name for check in stage.checks if not check.passed and check.name != NOT_OF_THROUGHPUT]


def counts(stage: StageResult) -> bool:
    """Whether nothing speaks against its throughput."""
    return not failed(stage)
