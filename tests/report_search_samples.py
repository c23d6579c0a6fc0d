"""Reports with known figures of a search for the highest rate, and of a run through batch sizes and users.

Made by formulas, as those of report_samples: a variant keeps its objectives up to a rate that is known.
"""

from __future__ import annotations

from typing import Any

from contract.search import Found, Probe, Search
from contract.verdict import MaxRate, Point, Report, StageResult, Variant
from tests import report_samples as samples

RESOLUTION = 0.05
UNCLEAR_AT = 3  # the step of every search that the machine spoiled
ROWS, USERS = (1, 8, 32), (1, 4, 16, 64)


def true_rate(variant: Variant) -> float:
    """Requests per second up to which a sample keeps its objectives."""
    return 1250 / samples.SPEEDS[variant.model, variant.format, variant.engine, variant.protocol]


def searched(variant: Variant) -> tuple[Variant, Found]:
    """A variant that went through a search: knee, doubled rates, halved intervals, a confirmation."""
    limit, speed = true_rate(variant), samples.SPEEDS[variant.model, variant.format, variant.engine, variant.protocol]
    stages: list[StageResult] = [samples.stage("closed-16", speed, purpose="knee", judged=False)]
    probes: list[Probe] = []

    def step(rate: float, purpose: str) -> bool:
        kept = rate <= limit
        unclear = len(probes) == UNCLEAR_AT
        load = (11 + 38 * (rate / limit) ** 4) / (3.37 * speed)  # p99 just below 50 ms at the limit
        duration = 20.0 if purpose == "confirm" else 3.0
        made = samples.stage(f"open-{rate:g}", speed * load, judged=purpose == "confirm", duration_s=duration)
        stages.append(made.model_copy(update={"name": f"{purpose}-{rate:g}", "purpose": purpose}))
        above = 0.004 if kept else 0.04
        reason = "sends were late" if unclear else f"{above:.1%} above 50 ms, 1 % allowed"
        probes.append(
            Probe.model_validate(
                {
                    "stage": len(stages) - 1,
                    "purpose": purpose,
                    "rate": rate,
                    "outcome": "unclear" if unclear else "kept" if kept else "missed",
                    "reason": reason,
                    "cut": "" if purpose == "confirm" or unclear else "clear" if kept else "hopeless",
                    "seconds": 22.0 if purpose == "confirm" else 2.4,
                }
            )
        )
        return kept and not unclear

    low, high = 0.0, round(limit * 0.55, 1)
    while step(high, "probe"):
        low, high = high, round(high * 1.6, 1)
    while high > low * (1 + RESOLUTION):
        middle = round((low + high) / 2, 1)
        if step(middle, "probe"):
            low = middle
        else:
            high = middle
    step(low, "confirm")
    found = Found(
        variant=variant.id,
        knee_rps=stages[0].throughput_rps,
        probes=probes,
        confirmed=len(stages) - 1,
        value=low,
        high=high,
        limited_by="server",
        seconds=sum(probe.seconds for probe in probes) + 4,
    )
    rate = MaxRate(value=low, low=low, high=high, limited_by="server")
    slo = variant.slo.model_copy(update={"max_rps": rate, "passed": low >= samples.RATE})
    return variant.model_copy(update={"stages": stages, "slo": slo}), found


def search_report() -> Report:
    """The default run, searched."""
    base = samples.report()
    pairs = [searched(variant) for variant in base.variants]
    seconds = sum(found.seconds for _, found in pairs)
    return base.model_copy(
        update={
            "variants": [variant for variant, _ in pairs],
            "search": Search(
                schema_version=1,
                resolution=RESOLUTION,
                probe_s=3.0,
                confirm_s=20.0,
                complete=True,
                found=[found for _, found in pairs],
                seconds=seconds,
                grid_seconds=6.4 * seconds,
            ),
            "advice": {
                "sentiment_torch": "Serve it as onnx on Triton over gRPC (stand-in, cpu) with batch ≤ 32: "
                "471 requests/s at p99 ≤ 50 ms, at 99 % confidence; torchscript does 37 % less.",
                "sentiment_keras": "Serve it as onnx on Triton over gRPC (stand-in, cpu) with batch ≤ 32: "
                "415 requests/s at p99 ≤ 50 ms, at 99 % confidence; savedmodel does 47 % less.",
            },
        }
    )


def cell(users: int, rows: int, inferences: float, **changes: Any) -> StageResult:
    """A closed stage of so many rows per request that did so many inferences per second."""
    rps = inferences / rows
    course = [Point(t_s=0.2 * part, throughput_rps=rps, p50_ms=2.0) for part in range(10)]
    figures: dict[str, Any] = {"throughput_rps": rps, "payloads": f"rows-{rows}", "course": course}
    return samples.stage(f"closed-{users}", 2.0, **(figures | changes))


def inferences(variant: Variant, users: int, rows: int) -> float:
    """ONNX leads single rows; what the others lack per request they make up for with rows."""
    speed = samples.SPEEDS[variant.model, variant.format, variant.engine, variant.protocol]
    per_row = 0.35 if variant.format == "onnx" else 0.22
    request = speed * 0.7 + per_row * rows
    return float(1000 * rows * min(users, 6) ** 0.6 / request)


def map_report() -> Report:
    """The default run, through every number of users at every number of rows."""
    base = samples.report()
    return base.model_copy(
        update={
            "variants": [
                variant.model_copy(
                    update={
                        "stages": [
                            *(cell(u, r, inferences(variant, u, r)) for r in ROWS for u in USERS),
                            variant.stages[-1],
                        ]
                    }
                )
                for variant in base.variants
            ]
        }
    )
