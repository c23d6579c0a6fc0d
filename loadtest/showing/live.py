"""How the stage that is on goes: written by the master where somebody watches, read by who started it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.trust import MOST_LATE_SHARE

FILE = ".live.json"


class Live(BaseModel):
    """Figures since the stage began, its warm-up included; what is judged comes from the records."""

    model_config = ConfigDict(frozen=True)

    variant: str
    stage: str
    seconds: float  # since it began
    length_s: float  # of warm-up and window
    rate_rps: float  # good answers in the last three seconds or so
    good: int
    failed: int
    late: int  # sent later than may be (contract/trust.py)
    latency_ms: dict[str, float]  # p50 …, to 1 %
    slo: str  # the line about the objectives
    kept: bool | None  # so far; None where nothing was answered yet


def validity(live: Live) -> str:
    """What would make the stage INVALID if it went on so; the report looks closer."""
    total = live.good + live.failed
    if not total:
        return "nothing was answered yet"
    if live.late > MOST_LATE_SHARE * total:
        return f"INVALID so far: {live.late / total:.1%} were sent late, {MOST_LATE_SHARE:.0%} are allowed"
    return "valid so far"


def write_live(results: Path, live: Live) -> None:
    """By one rename, so that half of it is never read; without waiting for the disk, for whoever sends writes it."""
    temporary = results / f"{FILE}.tmp"
    temporary.write_text(live.model_dump_json())
    os.replace(temporary, results / FILE)


def read_live(results: Path) -> Live | None:
    """What was written last, if anything was."""
    try:
        return Live.model_validate_json((results / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
