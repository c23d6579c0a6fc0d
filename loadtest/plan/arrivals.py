"""Open-loop arrivals: when the schedule wants each request sent. Pure functions of shape, time and seed.

A schedule is a unit process (gaps of mean 1: exponential, or exactly 1) seen through the inverse of the expected number
of arrivals ``expected(shape, t)``: where the rate is high, it runs fast (Çinlar's time change). Before the window the
shape's first rate holds, so that the server is warm for it. Offsets are nanoseconds since the window's start, negative
during warm-up, and end with the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import UsageError
from contract.shapes import Opened, Ramp, Sine, Spike, Steady, Step, Trace

Floats = NDArray[np.float64]

CHUNK = 4096
NANOSECONDS = 1_000_000_000
GRID = 20_000  # points of the inverse: on a window of a minute one every 3 ms, linear in between


def _steady(shape: Steady, t: Floats, _: float) -> Floats:
    assert shape.rate is not None
    return shape.rate * t


def _ramp(shape: Ramp, t: Floats, duration_s: float) -> Floats:
    return shape.rate * t + (shape.to - shape.rate) * t**2 / (2 * duration_s)


def _step(shape: Step, t: Floats, duration_s: float) -> Floats:
    part = duration_s / len(shape.rates)
    edges = part * np.arange(len(shape.rates) + 1)
    counts = np.concatenate([[0.0], np.cumsum(np.array(shape.rates) * part)])
    found: Floats = np.interp(t, edges, counts)
    return found


def _spike(shape: Spike, t: Floats, _: float) -> Floats:
    found: Floats = shape.rate * t + (shape.peak - shape.rate) * np.clip(t - shape.begin_s, 0.0, shape.length_s)
    return found


def _sine(shape: Sine, t: Floats, _: float) -> Floats:
    turn = 2 * np.pi / shape.period_s
    found: Floats = shape.rate * t + shape.amplitude / turn * (1 - np.cos(turn * t))
    return found


EXPECTED: dict[str, Callable[[Any, Floats, float], Floats]] = {
    "steady": _steady,
    "ramp": _ramp,
    "step": _step,
    "spike": _spike,
    "sine": _sine,
}
FIRST: dict[str, Callable[[Any], float]] = {
    "steady": lambda shape: shape.rate,
    "ramp": lambda shape: shape.rate,
    "step": lambda shape: shape.rates[0],
    "spike": lambda shape: shape.peak if shape.begin_s == 0 else shape.rate,
    "sine": lambda shape: shape.rate,
}


def expected(shape: Opened, t: Floats, duration_s: float) -> Floats:
    """How many arrivals are expected from the window's start until ``t`` seconds (0 <= t <= duration)."""
    found: Floats = EXPECTED[shape.shape](shape, t, duration_s)
    return found


def mean_rate(shape: Opened, duration_s: float) -> float:
    """Requests per second over the whole window."""
    return float(expected(shape, np.array([duration_s]), duration_s)[0]) / duration_s


def arrivals(shape: Opened, duration_s: float, warmup_s: float, seed: int) -> Iterator[int]:
    """Yield ascending offsets in nanoseconds since the window's start, from ``-warmup_s`` until ``duration_s``."""
    first = FIRST[shape.shape](shape)
    t = np.linspace(0.0, duration_s, GRID)
    counts = expected(shape, t, duration_s) + first * warmup_s
    if warmup_s > 0:
        t, counts = np.concatenate([[-warmup_s], t]), np.concatenate([[0.0], counts])
    # Where the rate is zero several times have the same count: the inverse takes the last of them.
    rising = np.append(np.diff(counts) > 0, True)
    t, counts = t[rising], counts[rising]
    for units in _unit_process(shape.arrivals, seed):
        inside = units[units < counts[-1]]
        yield from (np.interp(inside, counts, t) * NANOSECONDS).astype(np.int64).tolist()
        if len(inside) < len(units):
            return


def _unit_process(spread: str, seed: int) -> Iterator[Floats]:
    """Ascending positions with gaps of mean 1, in chunks, without end."""
    random = np.random.default_rng(seed)
    last = 0.0
    while True:
        gaps = random.exponential(1.0, CHUNK) if spread == "poisson" else np.ones(CHUNK)
        positions = last + np.cumsum(gaps)
        last = float(positions[-1])
        yield positions


def read_trace(shape: Trace) -> tuple[NDArray[np.int64], list[str | None]]:
    """Read a trace: ascending offsets (nanoseconds, the first one 0) and the keys of the requests, where named."""
    moments, keys = [], []
    for number, line in enumerate(_lines(shape.file), 1):
        moment, _, key = (part.strip() for part in line.partition(","))
        try:
            moments.append(float(moment))
        except ValueError:
            raise UsageError(f"{shape.file}, line {number}: '{moment}' is not a number of seconds") from None
        if moments[-1] < moments[max(0, len(moments) - 2)] or not np.isfinite(moments[-1]):
            raise UsageError(f"{shape.file}, line {number}: {moment} comes after a later time; sort the file by time")
        keys.append(key or None)
    if not moments:
        raise UsageError(f"{shape.file} holds no arrivals: one line each, seconds and optionally a comma and a key")
    offsets = (np.array(moments) - moments[0]) / shape.speed * NANOSECONDS
    return offsets.astype(np.int64), keys


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as a trace: {error}") from None
    return [line for line in lines if line.strip() and not line.startswith("#")]


def choices(count: int, seed: int) -> Iterator[int]:
    """Yield uniformly drawn indices below ``count``, without end."""
    random = np.random.default_rng(seed)
    while True:
        yield from random.integers(0, count, CHUNK).tolist()
