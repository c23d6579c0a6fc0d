"""bench.records' own parts: the run that the report judges is a whole one, and a command's figures are its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.recorded import complete, ran, report_command
from bench.records import PAYLOADS, planned, record
from contract.errors import ServerError
from contract.verdict import Report
from report.assemble import assemble

COUNT = 2_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "results" / "20260131-120000"
    folder.mkdir(parents=True)
    record(folder, COUNT)
    complete(folder, *planned(COUNT), PAYLOADS)
    return folder


def test_every_record_is_judged_and_every_sampled_answer_is_right(run: Path) -> None:
    (variant,) = assemble(run).variants
    (stage,) = variant.stages
    assert (stage.requests, stage.errors) == (COUNT, {})
    assert (stage.answers_checked, stage.wrong_answers) == (PAYLOADS, 0)
    assert stage.latency_ms.p50.value == pytest.approx(2.0, rel=0.1)  # as it was drawn


def test_the_command_writes_the_report_of_that_run_and_its_memory_is_told(run: Path) -> None:
    taken = report_command(run)
    written = run.parent.parent / "reports" / run.name / "report.json"
    assert Report.model_validate_json(written.read_bytes()).id == run.name
    assert taken.seconds > 0 and 0.02 < taken.most_gb < 10


def test_the_memory_of_a_command_is_that_of_its_largest_moment_in_gigabytes() -> None:
    taken = ran([sys.executable, "-c", "b'x' * 500_000_000"])
    assert 0.5 < taken.most_gb < 5


def test_a_command_that_fails_ends_the_bench_with_what_it_said() -> None:
    with pytest.raises(ServerError, match=r"ended with 3: no records"):
        ran([sys.executable, "-c", "import sys; sys.stderr.write('no records'); raise SystemExit(3)"])
