"""A report with what few runs have: a scaling curve, sampled servers, a death under load, tails point for point.

Made by formulas, as those of report_samples.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from contract.scaling import Point, Prediction, Scaling
from contract.verdict import Fault, Report, ServerPoint, ServerSide, StageResult, Used, Variant
from report.figures.tails import Tail, order_statistics
from report.page.beside import Beside
from report.page.charts.scaling import law
from tests import report_samples as samples

MODEL, ENDPOINT = "sentiment_torch", "sentiment_torch__onnx__triton__grpc"
# X(n) = 100 n / (1 + 0.1 (n - 1) + 0.01 n (n - 1)): its peak is at the root of (1 - 0.1) / 0.01.
FITTED = Prediction(rate=100, sigma=0.1, kappa=0.01, residual=0.02, peak=90**0.5, peak_rps=352.0)
REQUESTS = 1600  # good answers of a tail: 200 a second for 8 s


def scaled(
    prediction: Prediction | None = FITTED, numbers: tuple[int, ...] = (1, 2, 3, 4, 5), **changes: Any
) -> Scaling:
    """Points that lie on the law; a rate under the SLO was found for all but the last."""
    points = [
        Point(
            n=n,
            variant=f"{ENDPOINT}__{n}",
            closed_rps=law(FITTED, n),
            users=4 * n,
            p99_ms=10.0 + n,
            max_rps=0.6 * law(FITTED, n) if n != numbers[-1] else None,
            reason="" if n != numbers[-1] else "no rate kept the objectives",
        )
        for n in numbers
    ]
    fields: dict[str, Any] = {
        "schema_version": 1,
        "endpoint": ENDPOINT,
        "unit": "instances",
        "points": points,
        "shared": "",
        "prediction": prediction,
        "reason": "the law misses the points by 2 %" if prediction else "4 points were measured, at least 5 are needed",
        "complete": True,
    }
    return Scaling(**(fields | changes))


def sampled(stage: StageResult, cores: float) -> ServerSide:
    """A server that uses so many cores and grows by as many mebibytes a second, looked at twice a second."""
    course = [
        ServerPoint(
            t_s=t, cpu=cores + 0.1 * math.sin(t), load_cpu=0.4 * cores + 0.05 * math.cos(t), memory_mib=300 + cores * t
        )
        for t in (0.5 * look for look in range(round(2 * stage.duration_s)))
    ]
    return ServerSide(
        server="triton",
        cpu=Used(mean=cores, most=cores + 0.1),
        load_cpu=Used(mean=0.4 * cores, most=0.4 * cores + 0.05),
        machine_cpu=Used(mean=0.8, most=0.9),
        busiest_core=0.85,
        steal=0.0,
        reported_cpu=None,
        memory_begin_mib=course[0].memory_mib,
        memory_end_mib=course[-1].memory_mib,
        memory_slope=None,
        private_mib=210.0,
        threads=24,
        connections=16,
        pending=None,
        restarts=0,
        gpus=[],
        absent={
            "memory_slope": "the stage is shorter than a minute",
            "pending": "the metrics page was not asked",
            "gpu": "no NVML library (pip install nvidia-ml-py)",
        },
        course=course,
    )


def rare_report() -> Report:
    """The default run, its servers sampled; the first of them died once, and one was scaled by its proxy's replicas."""
    base = samples.report()
    variants = [_sampled(item, 0.8 + 0.1 * place) for place, item in enumerate(base.variants)]
    *calm, struck = variants[0].stages
    died = Fault(t_s=3.5, what="died", detail="it was <killed> by signal 9")
    variants[0] = variants[0].model_copy(update={"stages": [*calm, struck.model_copy(update={"faults": [died]})]})
    curve = scaled(unit="replicas", proxy="HAProxy, leastconn", shared="0, 1")
    direct = curve.points[0].model_copy(update={"closed_rps": 1.1 * curve.points[0].closed_rps})
    return base.model_copy(update={"variants": variants, "scaling": curve.model_copy(update={"direct": direct})})


def rare_beside() -> Beside:
    """The tails of its variants, log-normal: service, and latency some tenths of a millisecond above it."""
    quantiles = [NormalDist().inv_cdf((rank + 0.5) / REQUESTS) for rank in range(REQUESTS)]
    spread = np.exp(0.3 * np.array(quantiles))
    tails = {
        item.id: Tail(order_statistics((1.6 * speed * spread + 0.3).round(3)), order_statistics(1.6 * speed * spread))
        for item, speed in zip(samples.report().variants, samples.SPEEDS.values(), strict=True)
    }
    return Beside(tails)


def _sampled(item: Variant, cores: float) -> Variant:
    if item.engine != "triton":
        return item
    stages = [stage.model_copy(update={"server_side": sampled(stage, cores)}) for stage in item.stages]
    return item.model_copy(update={"stages": stages})
