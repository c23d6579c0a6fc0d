"""The open loop's schedules: a rate over time, seeded arrivals around it, and recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import UsageError
from contract.shapes import Opened, Ramp, Sine, Spike, Steady, Step, Trace
from contract.statistics import most_within
from loadtest.plan.arrivals import CHUNK, arrivals, choices, mean_rate, read_trace

SECOND = 1_000_000_000
RAMP = Ramp(shape="ramp", rate=0, to=1000)
STEP = Step(shape="step", rates=[100, 500, 200])
SPIKE = Spike(shape="spike", rate=100, peak=900, begin_s=4, length_s=2)
SINE = Sine(shape="sine", rate=300, amplitude=300, period_s=5)


def steady(rate: float, spread: str = "poisson") -> Steady:
    return Steady.model_validate({"shape": "steady", "rate": rate, "arrivals": spread})


def offsets(shape: Opened, seconds: float, seed: int = 7, warmup: float = 0.0) -> NDArray[np.int64]:
    return np.array(list(arrivals(shape, seconds, warmup, seed)), dtype=np.int64)


# shape, length of the window, (from, until, requests per second that are expected on average between the two)
CURVES = [
    (steady(200), 10.0, [(0, 10, 200)]),
    (RAMP, 10.0, [(0, 10, 500), (0, 5, 250), (9, 10, 950)]),
    (STEP, 9.0, [(0, 3, 100), (3, 6, 500), (6, 9, 200)]),
    (SPIKE, 10.0, [(0, 4, 100), (4, 6, 900), (6, 10, 100)]),
    (SINE, 10.0, [(0, 5, 300), (0, 2.5, 300 + 600 / np.pi), (2.5, 5, 300 - 600 / np.pi)]),
]


@pytest.mark.parametrize(("shape", "seconds", "expected"), CURVES, ids=lambda item: getattr(item, "shape", ""))
@pytest.mark.parametrize("spread", ["poisson", "constant"])
def test_arrivals_follow_the_rate_of_the_shape(
    shape: Opened, seconds: float, expected: list[tuple[float, float, float]], spread: str
) -> None:
    found = offsets(shape.model_copy(update={"arrivals": spread}), seconds)
    for begin, end, rate in expected:
        count = int(((found >= begin * SECOND) & (found < end * SECOND)).sum())
        wanted = rate * (end - begin)
        # Evenly spread arrivals are off by one at each edge at most; Poisson's by a few times the square root.
        assert abs(count - wanted) <= (4.5 * np.sqrt(wanted) if spread == "poisson" else 2)


@pytest.mark.parametrize(("shape", "seconds"), [(shape, seconds) for shape, seconds, _ in CURVES])
def test_the_mean_rate_is_that_of_the_whole_window(shape: Opened, seconds: float) -> None:
    found = offsets(shape.model_copy(update={"arrivals": "constant"}), seconds)
    assert mean_rate(shape, seconds) == pytest.approx(len(found) / seconds, abs=2 / seconds)


@pytest.mark.parametrize("rate", [0.5, 20.0, 200.0, 50_000.0])
def test_the_mean_rate_of_a_steady_shape_is_the_one_asked_for(rate: float) -> None:
    count = 20_000
    assert len(offsets(steady(rate), count / rate)) == pytest.approx(count, rel=4 / np.sqrt(count))


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    gaps = np.diff(offsets(steady(100), 500)) / SECOND
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)
    assert np.mean(gaps > 0.01) == pytest.approx(np.exp(-1), abs=0.01)


def test_constant_arrivals_are_evenly_spread() -> None:
    gaps = np.diff(offsets(steady(100, "constant"), 100)) / SECOND
    assert np.allclose(gaps, 0.01, atol=1e-8)


@pytest.mark.parametrize("shape", [shape for shape, _, _ in CURVES])
def test_arrivals_ascend_across_the_chunks_in_which_they_are_drawn_and_end_with_the_window(shape: Opened) -> None:
    found = offsets(shape, 40.0)
    assert len(found) > CHUNK
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0 and found[-1] < 40 * SECOND
    assert np.diff(found).max() < 2 * SECOND  # no gap where one chunk follows the other


@pytest.mark.parametrize("shape", [steady(500), STEP, SPIKE, SINE])
def test_the_warm_up_has_the_first_rate_and_comes_before_zero(shape: Opened) -> None:
    found = offsets(shape, 10.0, warmup=2.0)
    before = found[found < 0]
    first: float = shape.rates[0] if isinstance(shape, Step) else shape.rate  # type: ignore[union-attr, assignment]
    assert found[0] >= -2 * SECOND
    assert len(before) == pytest.approx(2 * first, abs=4.5 * np.sqrt(2 * first))


def test_a_shape_that_begins_at_nothing_has_no_warm_up() -> None:
    assert (offsets(RAMP, 5.0, warmup=3.0) >= 0).all()


def test_one_seed_is_one_schedule_and_another_seed_another() -> None:
    once, again, other = (offsets(SINE, 5.0, seed) for seed in (1, 1, 2))
    assert (once == again).all()
    assert not np.array_equal(once[:50], other[:50])


def test_a_faster_schedule_of_one_seed_is_the_same_one_in_less_time() -> None:
    slow, fast = offsets(steady(10), 50.0)[:100], offsets(steady(100), 50.0)[:100]
    assert np.allclose(slow, fast * 10, rtol=1e-6)


def test_offsets_are_whole_nanoseconds() -> None:
    assert all(type(offset) is int for offset in arrivals(steady(10), 3.0, 0.0, 1))


def trace(path: Path, text: str, **changes: float) -> Trace:
    path.write_text(text)
    return Trace.model_validate({"shape": "trace", "file": path, **changes})


def test_a_trace_begins_at_its_first_arrival_and_keeps_its_gaps_and_keys(tmp_path: Path) -> None:
    found, keys = read_trace(trace(tmp_path / "t.csv", "# when, what\n100.5,r0003\n100.75\n\n102,r0001\n"))
    assert found.tolist() == [0, SECOND // 4, 3 * SECOND // 2]
    assert keys == ["r0003", None, "r0001"]


def test_a_trace_can_be_replayed_faster(tmp_path: Path) -> None:
    found, _ = read_trace(trace(tmp_path / "t.csv", "0\n4\n", speed=8.0))
    assert found.tolist() == [0, SECOND // 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no arrivals"),
        ("0\nsoon\n", "line 2: 'soon' is not a number"),
        ("2\n1\n", "line 2: 1 comes after a later time"),
        ("0\nnan\n", "line 2: nan"),
    ],
)
def test_a_trace_that_cannot_be_replayed_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_trace(trace(tmp_path / "t.csv", text))


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.csv cannot be read"):
        read_trace(Trace(shape="trace", file=tmp_path / "gone.csv"))


def test_choices_are_uniform_seeded_and_within_bounds() -> None:
    drawn = [number for number, _ in zip(choices(5, 11), range(20_000), strict=False)]
    assert set(drawn) == set(range(5))
    counts = np.bincount(drawn)
    assert counts.min() > 0.9 * 4000
    assert counts.max() < 1.1 * 4000
    assert drawn[:100] == [number for number, _ in zip(choices(5, 11), range(100), strict=False)]
    assert drawn[:100] != [number for number, _ in zip(choices(5, 12), range(100), strict=False)]


def test_one_request_is_always_chosen() -> None:
    assert {number for number, _ in zip(choices(1, 3), range(100), strict=False)} == {0}


@pytest.mark.parametrize(
    ("seconds", "most"),
    [([], 0), ([5.0], 1), ([0, 0.4, 0.8, 1.2], 3), ([0, 1], 1), ([0, 0.6, 1.5, 1.55, 10], 3), ([0, 0, 0], 3)],
    ids=["none", "one", "a second that slides", "a second apart", "across a full second", "all at once"],
)
def test_the_busiest_second_of_a_trace_begins_wherever_it_is_busiest(seconds: list[float], most: int) -> None:
    assert most_within(1_000_000_000, (np.array(seconds) * 1e9).astype(np.int64)) == most
