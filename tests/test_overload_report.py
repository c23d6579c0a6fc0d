"""What the report says of a plan that goes beyond the maximum."""

from __future__ import annotations

import numpy as np
import pytest

from contract.shapes import OVERLOAD, SOAK, Steady
from report.figures.overload import overload, recovered_after, triple
from tests.report_samples import stage

TIMES = np.arange(0, 10, 0.01)


def latencies(
    bad_until_s: float, usual: float = 4.0, bad: float = 300.0
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.where(bad_until_s > TIMES, bad, usual)


@pytest.mark.parametrize(("until", "expected"), [(0.0, 0.0), (0.3, 0.5), (0.8, 1.0), (3.3, 3.5), (9.99, None)])
def test_recovery_is_the_last_half_second_that_was_not_usual(until: float, expected: float | None) -> None:
    assert recovered_after(TIMES, latencies(until), np.ones(len(TIMES), bool), usual_ms=4.0) == expected


def test_a_failure_long_after_counts_as_not_recovered_until_then() -> None:
    good = np.ones(len(TIMES), bool)
    good[620] = False
    assert recovered_after(TIMES, latencies(0.0), good, usual_ms=4.0) == 6.5


def test_a_single_slow_request_does_not_delay_the_recovery() -> None:
    slow = latencies(0.0)
    slow[700] = 500.0
    assert recovered_after(TIMES, slow, np.ones(len(TIMES), bool), usual_ms=4.0) == 0.0


def test_nothing_sent_is_no_recovery() -> None:
    none = np.array([])
    assert recovered_after(none, none, none.astype(bool), usual_ms=4.0) is None


def test_the_overload_plan_has_its_three_stages_and_the_soak_plan_has_none() -> None:
    assert triple(OVERLOAD.stages) == (2, 3, 4)
    assert triple(SOAK.stages) is None
    assert triple([Steady(shape="steady", of_maximum=part) for part in (0.5, 0.9, 0.5)]) is None


def test_the_sentence_holds_every_figure() -> None:
    before, after = stage("open-500", 2.0, target=500.0), stage("open-500", 2.0, target=500.0, duration_s=8.0)
    above = stage("open-1500", 2.0, target=1500.0, throughput_rps=940.0, errors={"http 503": 4480})
    found = overload(before, above, after, 1.5, 1.5)
    assert (found.maximum_rps, found.goodput_rps, found.refused, found.recovery_s) == (1000.0, 940.0, 4480, 1.5)
    assert "At 1,500 requests/s, 150% of the 1,000" in found.sentence
    assert "940 good answers came per second (94% of them), refused or failed: 4,480 http 503" in found.sentence
    assert "itself again 1.5 s after the load fell to 500" in found.sentence
    missed = stage("open-1500", 2.0, target=1500.0, throughput_rps=1490.0, errors={})
    assert "The maximum was found too low" in overload(before, missed, after, 1.5, 0.0).sentence
    assert "not itself again within 8 s" in overload(before, above, after, 1.5, None).sentence
