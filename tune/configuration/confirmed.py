"""search.json of a run of trials: the searches that went to their confirmation, which the report judges by it.

Trials that only steer a climb are not in it: their rates were compared, never confirmed.
"""

from __future__ import annotations

from pathlib import Path

from contract.files import read_model, write_json
from contract.search import FILE, Found, Search
from tune.search.method import Method


def keep(results: Path, found: Found, method: Method, grid_s: float) -> None:
    """Put one search in, for an earlier one of the same variant that was spoiled.

    ``grid_s`` is what a fixed grid would have taken for it, seconds.
    """
    file = results / FILE
    before = read_model(file, Search, "python -m tune") if file.is_file() else None
    known = [item for item in before.found if item.variant != found.variant] if before else []
    search = Search(
        schema_version=1,
        resolution=method.resolution,
        probe_s=method.probe_s,
        confirm_s=method.confirm_s,
        complete=True,
        found=[*known, found],
        seconds=round((before.seconds if before else 0.0) + found.seconds, 3),
        grid_seconds=round((before.grid_seconds if before else 0.0) + grid_s, 3),
    )
    write_json(file, search)
