"""What an interrupted run leaves behind, and how to read it: said on Ctrl-C, before the command ends."""

from __future__ import annotations

import shlex
from pathlib import Path

from contract.records import Plan

INTERRUPTED = 130  # the exit code, as of every command (contract/errors.py)


def kept(plan: Plan, results: Path) -> str:
    """Where what was measured of the plan is, and the next step; or that no stage was on for long enough."""
    measured = [item.id for item in plan.variants if (results / f"server-stats-{item.id}.json").is_file()]
    if not measured:
        return f"no stage was measured yet, so there is nothing to judge; the plan, and what was sent, are in {results}"
    judging = shlex.join(["python", "-m", "report", str(results), "--workspace", str(results.parents[1])])
    return (
        f"what was measured until then, of {len(measured)} of {len(plan.variants)} variants, is kept in {results}; "
        f"judge it, marked as interrupted, with 'make report' or: {judging}"
    )
