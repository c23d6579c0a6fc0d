"""How sure a search's answer is: up to three confirmations are tried, and their errors add up."""

from __future__ import annotations

import numpy as np
import pytest

from contract.slo import Slo
from contract.statistics import Floats
from report.figures.claim import CONFIRMATIONS, EACH, confidence

SLO = Slo(p99_ms=50)


def latencies(count: int, over: int = 0) -> Floats:
    """Independent latencies below 40 ms, ``over`` of them at 60 ms."""
    random = np.random.default_rng(5)
    found = random.uniform(1.0, 40.0, count)
    found[random.choice(count, over, replace=False)] = 60.0
    return found


# The p99 needs 459 independent samples at 99 %, and ln(300) / -ln(0.99) = 568 at a third of the error (MLPerf
# LoadGen's rule); what is independent is estimated, so it takes a few more.
@pytest.mark.parametrize(("count", "level"), [(450, None), (600, 0.97), (740, 0.99)])
def test_the_answer_has_what_its_confirmation_leaves_after_all_tries(count: int, level: float | None) -> None:
    assert confidence(latencies(count), SLO) == level


def test_a_bound_that_keeps_the_limit_at_99_percent_only_leaves_97() -> None:
    assert confidence(latencies(2_000, over=8), SLO) == 0.99
    assert confidence(latencies(2_000, over=9), SLO) == 0.97
    assert confidence(latencies(2_000, over=10), SLO) is None


def test_the_weakest_of_the_promised_percentiles_counts() -> None:
    assert confidence(latencies(740), Slo(p50_ms=50, p99_ms=50)) == 0.99
    assert confidence(latencies(740), Slo(p99_ms=50, p999_ms=60)) is None


def test_three_tries_at_the_stricter_level_leave_99_percent() -> None:
    assert pytest.approx(0.99) == 1 - CONFIRMATIONS * (1 - EACH)


def test_of_no_answers_nothing_is_claimed() -> None:
    assert confidence(np.array([]), SLO) is None
