"""Where a run's load came from, by what its load processes have reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.files import write_json
from contract.records import Observation, StageObservation, VariantPlan
from report.figures.origin import Origin, as_it_ran, origin
from tests.builders import endpoint, plan

ITEM = VariantPlan(id="words", endpoint=endpoint(), stages=[], repeat_of=None)


@pytest.mark.parametrize(
    ("workers", "elsewhere", "expected"),
    [
        (2, 0, Origin(here=True, elsewhere=False)),
        (2, 1, Origin(here=True, elsewhere=True)),
        (2, 2, Origin(here=False, elsewhere=True)),
        (2, None, Origin(here=True, elsewhere=True)),  # older results: so they were read before
    ],
)
def test_load_processes_that_joined_tell_where_they_were(
    tmp_path: Path, workers: int, elsewhere: int | None, expected: Origin
) -> None:
    stage = StageObservation(
        stage=0, workers=workers, elsewhere=elsewhere, window_start_ns=0, window_end_ns=1, client_cpu=0.1, server=None
    )
    write_json(
        tmp_path / "server-stats-words.json",
        Observation(schema_version=1, variant="words", complete=True, stages=[stage]),
    )
    assert origin(tmp_path, plan(ITEM, processes=0)) == expected
    assert origin(tmp_path, plan(ITEM, processes=2)) == Origin()  # the run started them itself
    assert as_it_ran(plan(ITEM, same_machine=True), expected).same_machine is expected.here
