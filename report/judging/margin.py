"""Below which relative difference two variants, or two runs of one, are the same, by what one variant measured twice
(A/A) says. Pure. The ranking, runs side by side and `tune compare` all take it from here; p50 is for runs alone.

A/A is one pair, and a single difference is small by luck as easily as it is large, so intervals count where there are
some, by their farther end:

- *mean latency*: its 99 % interval, else (older reports) the difference of the medians; and the throughput of a closed
  loop, which is users over that mean.
- *p50*: the farther end of its own 99 % interval; its difference in older reports.
- *p99*: the largest of its difference, of the margin of the mean, for a p99 hangs on a hundredth of the requests and is
  never known better than the mean, and of its own 99 % interval. That needs 528 independent requests both times; where
  they are fewer, p50's interval stands in for it, `WIDER` times as wide. Older reports have neither.
- *highest rate*: the difference alone. Two searches give no interval; the resolution is the least then (`merit.py`).

Each is None where it was not measured. That is not zero: nobody knows then what a difference means.
"""

from __future__ import annotations

from contract.verdict import Noise, Report
from report import words
from report.judging.longer import remedy

UNKNOWN = "the noise of this machine was not measured"
# How much farther a p99 scatters than a p50 of as many requests: of log-normal latencies, narrow or wide,
# sqrt(p * (1 - p)) / density is 3.7 at p99 and 1.25 at p50. Exponential ones have 1.5 times; stalls that come less than
# once in a hundred requests have more, which so few requests cannot tell.
WIDER = 3.0


def of_mean(noise: Noise) -> float | None:
    """Of mean latencies, and of a closed loop's throughputs; in older reports by their medians."""
    return noise.p50_relative if noise.low is None or noise.high is None else _farther(noise.low, noise.high)


def of_p50(noise: Noise) -> float | None:
    """Of the p50 at one rate."""
    return None if noise.p50_relative is None else max(noise.p50_relative, _farther(noise.p50_low, noise.p50_high))


def of_p99(noise: Noise) -> float | None:
    """Of the p99 at one rate."""
    if noise.p99_relative is None:
        return None
    tail = _farther(noise.p99_low, noise.p99_high)
    if _borrows(noise):
        tail = WIDER * _farther(noise.p50_low, noise.p50_high)
    return max(noise.p99_relative, of_mean(noise) or 0.0, tail)


def _borrows(noise: Noise) -> bool:
    """Whether the p99 has no interval of its own and p50's stands in for it."""
    return noise.p99_low is None and noise.p50_low is not None


def of_rate(noise: Noise) -> float | None:
    """Of the highest rates under the objectives."""
    return noise.max_rps_relative


def of_report(report: Report) -> float | None:
    """Of what the report compares: the p99 at one rate, or the highest rates that were sought."""
    return of_p99(report.noise) if report.search is None else of_rate(report.noise)


def sentence(report: Report) -> str:
    """The noise in one line, for the place where variants are compared; empty where none is ranked."""
    if not report.winners:
        return ""
    margin = of_report(report)
    if margin is None:
        return f"Noise: {UNKNOWN}, so no winner is named among several: {report.noise.reason.rstrip('.')}."
    compared = "highest rates" if report.search else "p99"
    resolution = f", resolution {words.share(report.search.resolution)}" if report.search else ""
    said = f"Noise (A/A) {words.share(margin)}{resolution}: two {compared} that lie closer are not told apart."
    return " ".join(filter(None, [said, _interval(report.noise), _borrowed(report.noise), remedy(report)]))


def _farther(low: float | None, high: float | None) -> float:
    return max(abs(low or 0.0), abs(high or 0.0))


def _interval(noise: Noise) -> str:
    """How far one variant lay from itself; empty where no interval is known, as of two searches."""
    known = words.noise_intervals(noise)
    return f"What was measured twice differed by {', '.join(known)} (99 % intervals)." if known else ""


def _borrowed(noise: Noise) -> str:
    """What stands in for the interval of the p99; empty where nothing has to."""
    if not _borrows(noise):
        return ""
    return (
        "Its p99 had too few independent requests for an interval of its own, so p50's stands in for it, "
        f"{WIDER:g} times as wide."
    )
