"""The tail of the stage that a variant is judged at, point for point: order statistics of its own records.

Six percentiles joined by lines would draw a tail that nobody measured. Percentiles between them are order statistics
just the same, so about two hundred are drawn, evenly on an axis where every nine is as wide as the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.files import read_model
from contract.parts import Parts
from contract.records import Observation, Plan, VariantPlan
from contract.statistics import PERCENTILES, Floats
from contract.verdict import Report, StageResult
from report import words
from report.figures.requests import Requests
from report.figures.windows import final

POINTS = 200  # of a curve; the highest ranks are there one by one

Curve = list[tuple[float, float]]  # share of the requests that were faster, and milliseconds
Tails = Mapping[str, "Tail"]


@dataclass(frozen=True)
class Tail:
    """Good answers of one stage: from the intended send, and from the actual one."""

    latency: Curve
    service: Curve


def tails_of(report: Report, results: Path) -> dict[str, Tail]:
    """By variant; without those whose records are not in ``results``, the folder of the run."""
    if not (results / "plan.json").is_file():
        return {}
    planned = {item.id: item for item in read_model(results / "plan.json", Plan, "make loadtest").variants}
    found: dict[str, Tail] = {}
    for variant in report.variants:
        stage = words.open_stage(report, variant)
        tail = _tail(results, planned[variant.id], stage) if stage and variant.id in planned else None
        if tail is not None:
            found[variant.id] = tail
    return found


def _tail(results: Path, item: VariantPlan, shown: StageResult) -> Tail | None:
    """Of the stage that is shown. A search may confirm one rate twice: the last that has as many requests counts."""
    observation = read_model(results / f"server-stats-{item.id}.json", Observation, "make loadtest")
    parts = Parts(results, item.id)
    for number in reversed([number for number, stage in enumerate(item.stages) if stage.name == shown.name]):
        rounds = final(observation.stages, number)
        requests = Requests(parts.stage(number), number, rounds) if rounds else None
        if requests is not None and len(requests) == shown.requests and requests.good.any():
            good = requests.good
            return Tail(order_statistics(requests.latency_ms[good]), order_statistics(requests.service_ms[good]))
    return None


def order_statistics(samples: Floats) -> Curve:
    """Samples by their rank: the fastest, the slowest, the named percentiles, and so many between as are drawn."""
    n = len(samples)
    ordered = np.sort(samples)
    spread = np.floor(n * (1 - 10 ** -np.linspace(0.0, math.log10(n), POINTS))).astype(int)
    named = [max(math.ceil(p * n) - 1, 0) for p in PERCENTILES.values()]
    ranks = np.unique(np.minimum([*spread.tolist(), *named, n - 1], n - 1)).tolist()
    return [(rank / n, round(float(ordered[rank]), 3)) for rank in ranks]
