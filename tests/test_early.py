"""When a window ends before its time: never wrongly as hopeless, rarely wrongly as clear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contract.slo import Slo
from loadtest.master.early import (
    CLEAR_FROM,
    FEWEST_GLANCES,
    FORGIVEN,
    Glance,
    clear,
    grows,
    hopeless,
    together,
    verdict,
)
from loadtest.process.orders import Progress
from tune.search.tally import Tally, judge

SLO = Slo(p99_ms=50.0, error_rate=0.001)
CALM = Glance(elapsed=0.6, due=4_800, late=0, failed=0, over={"p99": 0}, near={"p99": 0}, in_flight=4)


def seen(now: Glance = CALM, in_flight: list[int] | None = None) -> list[Glance]:
    """Glances until ``now``."""
    before = in_flight or [4] * FEWEST_GLANCES
    return [*(replace(CALM, in_flight=count) for count in before), now]


@pytest.mark.parametrize(
    ("over", "failed", "slo", "expected"),
    [
        ({"p99": 83}, 0, SLO, False),  # 8,000 are planned, of the 8,358 that there may be 83.6 may be over
        ({"p99": 84}, 0, SLO, True),
        ({"p99": 0}, 8, SLO, False),
        ({"p99": 0}, 9, SLO, True),
        ({"p99": 0}, 1, Slo(p99_ms=50.0, error_rate=0.0), False),
        ({"p99": 0}, 2, Slo(p99_ms=50.0, error_rate=0.0), True),
        ({"p50": 4_000, "p99": 10}, 0, Slo(p50_ms=10.0, p99_ms=50.0), False),
        ({"p50": 4_200, "p99": 10}, 0, Slo(p50_ms=10.0, p99_ms=50.0), True),
        ({"p99": 10, "p999": 9}, 0, Slo(p99_ms=50.0, p999_ms=80.0), True),
    ],
)
def test_it_is_hopeless_when_more_are_over_than_the_whole_window_may_have(
    over: dict[str, int], failed: int, slo: Slo, expected: bool
) -> None:
    assert hopeless(slo, 8_000, replace(CALM, over=over, failed=failed)) is expected


@pytest.mark.parametrize(
    ("planned", "now", "slo"),
    [
        (600, {"failed": 1}, SLO),  # of the 698 requests that there may be, 0.7 may fail
        (600, {"failed": 1}, Slo(p99_ms=50.0, error_rate=0.0)),
        (800, {"over": {"p999": 1}}, Slo(p999_ms=80.0)),
    ],
)
def test_the_first_bad_request_ends_no_probe_for_its_judge_forgives_it(
    planned: float, now: dict[str, Any], slo: Slo
) -> None:
    first = replace(CALM, elapsed=0.02, due=20, **now)
    assert verdict(slo, planned, [first]) == ""
    assert verdict(slo, planned, [first], forgiven=0) == "hopeless"


@pytest.mark.parametrize("error_rate", [0.0, 0.0001, 0.001, 0.01])
@pytest.mark.parametrize("planned", [20, 150, 600, 8_000])
def test_what_is_cut_as_hopeless_is_missed_by_the_judge_of_probes_however_little_was_seen(
    planned: int, error_rate: float
) -> None:
    slo = Slo(p99_ms=50.0, p999_ms=80.0, error_rate=error_rate)
    for bad in range(1, planned + 1):  # every request until now was bad: so few were seen when it was cut
        over = {"p99": bad, "p999": bad}
        if hopeless(slo, planned, replace(CALM, due=bad, failed=bad, over=over)):
            assert judge(Tally(bad, bad, over), slo, FORGIVEN).missed
            return
    pytest.fail("a window without a good request is hopeless")


def test_a_quiet_window_is_clear_and_the_same_is_not_yet_so_before_its_middle() -> None:
    assert verdict(SLO, 8_000, seen()) == "clear"
    assert verdict(SLO, 8_000, seen(replace(CALM, elapsed=CLEAR_FROM - 0.01))) == ""
    assert verdict(SLO, 8_000, []) == ""


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (replace(CALM, due=400), "too few for a claim about p99"),
        (replace(CALM, over={"p99": 13}), "more than a quarter of what is allowed"),
        (replace(CALM, near={"p99": 49}), "p99 does not keep half of its limit"),
        (replace(CALM, failed=2), "more failures than a quarter of what is allowed"),
        (replace(CALM, late=300), "the load generator is late, so the server was not asked at that rate"),
    ],
)
def test_it_is_not_clear(now: Glance, why: str) -> None:
    assert not clear(SLO, seen(now)), why
    assert clear(SLO, seen(replace(CALM, over={"p99": 12}, near={"p99": 48}, failed=1, late=240)))


def test_every_objective_has_to_be_clear() -> None:
    both = Slo(p99_ms=50.0, p999_ms=80.0)
    now = replace(CALM, over={"p99": 0, "p999": 0}, near={"p99": 0, "p999": 0})
    assert clear(both, seen(replace(now, due=4_603)))
    assert not clear(both, seen(replace(now, due=4_602)))  # one fewer than the claim about p99.9 needs


@pytest.mark.parametrize(
    ("in_flight", "expected"),
    [
        ([4] * 20, False),
        ([3, 5] * 10, False),
        ([0] * 20, False),
        (list(range(10, 30)), True),
        ([10] * 10 + [14] * 10, True),
        ([10] * 10 + [13] * 10, False),
        ([4] * (FEWEST_GLANCES - 1), True),
    ],
)
def test_a_queue_grows_when_more_is_in_flight_in_the_second_half_than_chance_explains(
    in_flight: list[int], expected: bool
) -> None:
    assert grows(in_flight) is expected


def test_load_processes_are_looked_at_as_one() -> None:
    one = Progress(number=1, worker="a", due=10, late=1, failed=2, over={"p99": 3}, near={"p99": 4}, in_flight=5)
    assert together([one, replace(one, worker="b", due=20)], 0.5) == Glance(
        elapsed=0.5, due=30, late=2, failed=4, over={"p99": 6}, near={"p99": 8}, in_flight=10
    )


def windows(capacity: float, utilisation: float, fixed: bool, count: int) -> Iterator[tuple[str, bool]]:
    """Simulated windows of 8 s before one server (M/D/1 or M/M/1): the verdict at 0.1 s steps, what the whole keeps."""
    rate, window_s, warmup_s, limit_s = capacity * utilisation, 8.0, 0.5, 0.05
    for seed in range(count):
        random = np.random.default_rng(seed)
        intended = np.cumsum(random.exponential(1 / rate, int(rate * 9.5))) - warmup_s
        intended = intended[intended < window_s]
        service = np.full(len(intended), 1 / capacity) if fixed else random.exponential(1 / capacity, len(intended))
        work = np.cumsum(service)
        done = work + np.maximum.accumulate(intended - (work - service))  # Lindley's recursion, unrolled
        latency, counts = done - intended, intended >= 0
        cut, glances = "", []
        for now in np.arange(0.1, window_s, 0.1):
            waited = np.where(done <= now, latency, np.where(intended <= now, now - intended, 0.0))[counts]
            over, near = int((waited > limit_s).sum()), int((waited > limit_s / 2).sum())
            due = int(((done <= now) & counts).sum())
            in_flight = int(((intended <= now) & (done > now)).sum())
            glances.append(Glance(now / window_s, max(due, over), 0, 0, {"p99": over}, {"p99": near}, in_flight))
            cut = verdict(SLO, rate * window_s, glances)
            if cut:
                break
        yield cut, bool((latency[counts] > limit_s).mean() <= 0.01)


@pytest.mark.parametrize("fixed", [True, False], ids=["M/D/1", "M/M/1"])
def test_around_saturation_few_windows_end_wrongly_and_none_that_would_have_kept_its_objective(fixed: bool) -> None:
    found = [each for share in (0.9, 0.94, 0.98, 1.0, 1.02) for each in windows(1_000, share, fixed, 40)]
    assert not any(cut == "hopeless" and kept for cut, kept in found)
    missed = [cut for cut, kept in found if not kept]
    assert len(missed) > 60
    assert missed.count("clear") <= 0.03 * len(missed)
    assert missed.count("hopeless") >= 0.9 * len(missed)


def test_well_below_saturation_nearly_every_window_ends_early_as_clear() -> None:
    found = [cut for share in (0.3, 0.6) for cut, _ in windows(1_000, share, fixed=False, count=20)]
    assert found.count("clear") >= 0.95 * len(found)
