"""More than a server can do, in a plan: what it still got done, what it refused, how soon it was itself again. Pure.

A plan shows it when a stage at more than the found maximum follows one at a part of it, and the same part comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contract.shapes import Steady
from contract.statistics import Floats
from contract.verdict import Overload, StageResult

SLICE_S = 0.5
ANSWERED = 0.95  # of the offered requests: who answers so many is not overloaded
USUAL = 2.0  # a median up to so many times the one before the overload is the server's own again


def part_of_maximum(stage: object) -> float | None:
    """What multiple of the found maximum a stage's shape asks for."""
    return stage.of_maximum if isinstance(stage, Steady) else None


def overload(
    before: StageResult, above: StageResult, after: StageResult, of_maximum: float, recovery_s: float | None
) -> Overload:
    """The three stages in the order of the plan; ``of_maximum`` is what the second asked for."""
    maximum = above.target / of_maximum
    refused = sum(above.errors.values())
    goodput = above.throughput_rps
    kept = goodput / maximum if maximum else 0.0
    shed = ", ".join(f"{count:,} {name}" for name, count in above.errors.items()) or "none"
    if recovery_s is None:
        again = f"It was not itself again within {after.duration_s:g} s at {after.target:,.0f} requests/s"
    else:
        again = f"It was itself again {recovery_s:.1f} s after the load fell to {after.target:,.0f} requests/s"
    sentence = (
        f"At {above.target:,.0f} requests/s, {of_maximum:.0%} of the {maximum:,.0f} that it was seen to do, "
        f"{goodput:,.0f} good answers came per second ({kept:.0%} of them), refused or failed: {shed}. {again}; "
        f"before it the median was {before.latency_ms.p50.value or 0:.2f} ms, "
        f"under overload {above.latency_ms.p50.value or 0:.2f} ms."
    )
    if not beyond(goodput, above.target):
        sentence = f"The maximum was found too low, so this was no overload: measure again. {sentence}"
    return Overload(
        stage=above.name,
        maximum_rps=round(maximum, 2),
        offered_rps=above.target,
        goodput_rps=goodput,
        refused=refused,
        recovery_s=recovery_s,
        sentence=sentence,
    )


def beyond(goodput_rps: float, offered_rps: float) -> bool:
    """Whether it was more than the server can do, by what it answered of it."""
    return goodput_rps <= ANSWERED * offered_rps


def recovered_after(intended_s: Floats, latency_ms: Floats, good: NDArray[np.bool_], usual_ms: float) -> float | None:
    """Seconds of a stage until the server was itself again, for good; None when it never was.

    From then on every half second has no failure and a median of at most twice ``usual_ms``. ``intended_s`` are seconds
    since the window's start, in order; all three have one entry per request.
    """
    if not len(intended_s):
        return None
    which = (intended_s / SLICE_S).astype(int)
    last = int(which[-1])
    edges = np.searchsorted(which, np.arange(last + 2))
    bad = [
        number
        for number, (first, end) in enumerate(pairwise(edges.tolist()))
        if first < end and not _usual(latency_ms[first:end], good[first:end], usual_ms)
    ]
    if not bad:
        return 0.0
    return None if bad[-1] == last else round((bad[-1] + 1) * SLICE_S, 3)


def _usual(latency_ms: Floats, good: NDArray[np.bool_], usual_ms: float) -> bool:
    return bool(good.all()) and float(np.median(latency_ms)) <= USUAL * usual_ms


def triple(shapes: Sequence[object]) -> tuple[int, int, int] | None:
    """Indices of the stages before, above and after; None where the plan is no overload."""
    for place in range(1, len(shapes) - 1):
        before, above, after = (part_of_maximum(shapes[place + step]) for step in (-1, 0, 1))
        if before and above and after and above > 1 > before and after == before:
            return place - 1, place, place + 1
    return None
