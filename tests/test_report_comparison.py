"""The comparison: every figure says what it was measured with where that is not what stands above it."""

from __future__ import annotations

from typing import Any

from contract.verdict import Report, StageResult
from report import words
from report.beside.comparison import Cell, row
from tests import report_samples as samples
from tests.report_search_samples import cell


def cells(*stages: StageResult, **changes: Any) -> dict[str, Cell]:
    report: Report = samples.report(**changes)
    return row(report, report.variants[0].model_copy(update={"stages": list(stages)}))


def test_a_throughput_is_that_of_the_golden_batch_wherever_rows_were_sent_too() -> None:
    golden = samples.stage("closed-16", 3.0)
    found = cells(golden, cell(64, 32, 4000), samples.stage("open-200", 3.0))["throughput"]
    assert (found.text, found.note) == (words.number(golden.throughput_rps), "closed-16")


def test_a_throughput_of_several_sets_is_that_of_the_first_and_says_which() -> None:
    single, many = cell(16, 1, 900), cell(64, 32, 4000)
    found = cells(single, many)["throughput"]
    assert found.sort == single.throughput_rps and found.note == f"{single.name}, rows-1"


def test_a_latency_that_was_not_measured_at_the_promised_rate_says_at_which_it_was() -> None:
    assert "at 300 req/s" in cells(samples.stage("open-300", 3.0))["p99"].note
    assert "req/s" not in cells(samples.stage("open-200", 3.0))["p99"].note


def test_a_latency_is_that_of_the_valid_stage_that_shows_the_promised_rate() -> None:
    spoiled, above, far = (
        samples.invalid_stage("open-200", 3.0),
        samples.stage("open-300", 3.0),
        samples.stage("open-400", 3.0),
    )
    found = cells(far, spoiled, above)["p99"]
    assert found.sort == above.latency_ms.p99.value and found.note.endswith("at 300 req/s")
    alone = cells(samples.stage("open-100", 3.0), spoiled)["p99"]
    assert alone.note.endswith("at 100 req/s")
    assert cells(spoiled)["p99"].note == "INVALID"
