"""The noise of a winner map: from cells that one variant went through twice, read from the records of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contract.records import Stage
from report.judging.cell_noise import LEAST_PAIRS, STUDENT, cell_noise, noise_of_pairs
from report.page.beside import beside
from tests.builders import closed_stage, open_stage
from tests.report_runs import Run, real


def pairs(relative: float, count: int, seed: int) -> list[tuple[float, float]]:
    """Throughputs of one variant in ``count`` cells, each measured twice with so much of a relative deviation."""
    random = np.random.default_rng(seed)
    means = np.linspace(100.0, 3000.0, count)
    return [(float(mean * random.normal(1, relative)), float(mean * random.normal(1, relative))) for mean in means]


@pytest.mark.parametrize("count", [3, 5, 12])
def test_of_a_hundred_further_cells_of_one_variant_one_at_most_would_be_taken_for_a_difference(count: int) -> None:
    beyond = 0
    trials = 4000
    for seed in range(trials):
        *known, (first, again) = pairs(0.02, count + 1, seed)
        noise = noise_of_pairs("x", known).relative
        assert noise is not None
        beyond += abs(again - first) / ((again + first) / 2) > noise
    assert 0.004 < beyond / trials < 0.016


def test_a_drift_between_the_two_times_is_noise_too() -> None:
    steady = noise_of_pairs("x", [(100.0, 110.0)] * 12).relative
    assert steady == pytest.approx(STUDENT[12] * 10 / 105)


def test_between_two_rows_of_the_table_the_wider_one_counts() -> None:
    assert noise_of_pairs("x", [(100.0, 110.0)] * 14).relative == noise_of_pairs("x", [(100.0, 110.0)] * 12).relative


def test_too_few_cells_tell_nothing() -> None:
    found = noise_of_pairs("x", [(100.0, 110.0)] * (LEAST_PAIRS - 1))
    assert (found.pairs, found.relative) == (LEAST_PAIRS - 1, None)


def cells(seconds: float) -> list[Stage]:
    """Four cells and the judged stage; a cell has 1000 requests in so many ``seconds``."""
    names = ("rows-1", "rows-8", "rows-16", "rows-32")
    closed = [closed_stage(4, seconds).model_copy(update={"name": f"closed-4-{n}", "payloads": n}) for n in names]
    return [*closed, open_stage(200.0, 5.0)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "20260131-120000"
    folder.mkdir()
    return Run(folder)


def test_the_noise_is_read_from_the_records_of_the_variant_that_was_measured_again(run: Run) -> None:
    first = run.add(real(), 5.0, planned=cells(1.0), stages=5)
    run.add(real(), 5.0, planned=cells(1.1), stages=5, repeat_of=first.id)
    found = cell_noise(run.report(), run.folder)
    assert found is not None and (found.variant, found.pairs) == (first.id, 4)
    assert found.relative == pytest.approx(STUDENT[4] * 0.1 / 1.05, rel=0.02)
    assert beside(run.report(), run.folder).cells == found


def test_a_run_whose_cells_were_measured_once_has_none(run: Run) -> None:
    first = run.add(real(), 5.0, planned=cells(1.0), stages=5)
    run.add(real(), 5.0, repeat_of=first.id)
    assert cell_noise(run.report(), run.folder) is None
    assert cell_noise(run.report(), run.folder / "elsewhere") is None


def test_a_second_time_that_was_interrupted_leaves_too_few_cells(run: Run) -> None:
    first = run.add(real(), 5.0, planned=cells(1.0), stages=5)
    run.add(real(), 5.0, planned=cells(1.0), stages=2, repeat_of=first.id)
    found = cell_noise(run.report(), run.folder)
    assert found is not None and (found.pairs, found.relative) == (2, None)


def test_a_cell_that_something_speaks_against_tells_nothing(run: Run) -> None:
    first = run.add(real(), 5.0, planned=cells(1.0), stages=5)
    run.add(real(), 5.0, planned=cells(1.0), stages=5, repeat_of=first.id, errors=100)
    found = cell_noise(run.report(), run.folder)
    assert found is not None and (found.pairs, found.relative) == (0, None)
