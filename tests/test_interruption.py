"""What is said on Ctrl-C: where what was measured is, and how to judge it."""

from __future__ import annotations

import shlex
from pathlib import Path

from contract.records import VariantPlan
from loadtest.interruption import kept
from report.__main__ import _parser
from tests.builders import endpoint, plan

PLAN = plan(
    *(
        VariantPlan(id=item.id, endpoint=item, stages=[], repeat_of=None)
        for item in (endpoint(), endpoint(protocol="grpc"))
    )
)


def test_what_was_measured_is_named_with_a_command_that_judges_it(tmp_path: Path) -> None:
    results = tmp_path / "my work" / "results" / PLAN.id
    results.mkdir(parents=True)
    (results / f"server-stats-{PLAN.variants[0].id}.json").touch()
    said = kept(PLAN, results)
    assert f"of 1 of 2 variants, is kept in {results};" in said
    words = shlex.split(said.split("or: ")[1])
    assert words[:3] == ["python", "-m", "report"]
    options = _parser().parse_args(words[3:])
    assert (options.results, options.workspace) == ([results], tmp_path / "my work")


def test_a_run_without_one_measured_stage_promises_no_report(tmp_path: Path) -> None:
    said = kept(PLAN, tmp_path)
    assert "no stage was measured yet" in said and str(tmp_path) in said
    assert "report" not in said
