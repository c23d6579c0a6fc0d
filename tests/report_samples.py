"""Reports with known figures for the tests of the report pages: a realistic run and the awkward ones.

The figures are made by formulas (a log-normal latency whose median grows with the load): the same every time.
"""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist
from typing import Any

from contract.compare import Parity
from contract.endpoints import Configuration
from contract.machine import Machine
from contract.statistics import PERCENTILES
from contract.verdict import (
    Attribution,
    Check,
    MaxRate,
    Noise,
    Percentile,
    Percentiles,
    Point,
    Report,
    SloResult,
    StageResult,
    Variant,
    VariantParity,
    Winner,
)
from report.beside.caveats import SHARED

RATE, P99_MS = 200.0, 50.0
SHARED_CORES = f"{SHARED} the 2 cores of one machine: more load is less server. Throughput is a lower bound."
INJECTION = '</script><img src=x onerror="alert(1)">|<b>&`x`'
STAND_INS = {"torchscript": "Triton's native pytorch backend", "onnx": "Triton's native onnxruntime backend"}
# (model, format, engine, protocol): milliseconds of one request alone
SPEEDS = {
    ("sentiment_torch", "torchscript", "triton", "http"): 4.6,
    ("sentiment_torch", "torchscript", "triton", "grpc"): 4.1,
    ("sentiment_torch", "onnx", "triton", "http"): 3.1,
    ("sentiment_torch", "onnx", "triton", "grpc"): 2.6,
    ("sentiment_keras", "savedmodel", "triton", "http"): 6.4,
    ("sentiment_keras", "savedmodel", "triton", "grpc"): 5.7,
    ("sentiment_keras", "onnx", "triton", "http"): 3.4,
    ("sentiment_keras", "onnx", "triton", "grpc"): 2.9,
    ("sentiment_keras", "savedmodel", "tfserving", "grpc"): 4.9,
    ("sentiment_keras", "savedmodel", "tfserving", "rest"): 5.8,
}


def percentile(value: float | None, p: float, n: int) -> Percentile:
    """A percentile that may be claimed when n is large enough for it."""
    needed = math.ceil(math.log(0.01) / math.log(p))
    if value is None or n < needed:
        return Percentile(value=value, upper=None, missing=max(1, needed - n))
    return Percentile(value=value, upper=value * 1.06, missing=0)


def percentiles(median: float, spread: float, n: int) -> Percentiles:
    """Percentiles of a log-normal latency."""
    values = {key: median * math.exp(spread * NormalDist().inv_cdf(p)) for key, p in PERCENTILES.items()}
    found = {key: percentile(values[key], PERCENTILES[key], n) for key in PERCENTILES}
    return Percentiles(**found, max=Percentile(value=values["p9999"] * 1.1, upper=None, missing=0))


def stage(name: str, speed: float, *, counted: bool = True, **changes: Any) -> StageResult:
    """One valid stage, `closed-<users>` or `open-<rate>`; ``speed`` is milliseconds of a request alone."""
    mode, target = name.split("-")[0], float(name.split("-")[1])
    load = 1 + 0.4 * target if mode == "closed" else 1.6
    median, duration = speed * load, 3.0 if mode == "closed" else 8.0
    rps = 1000 * target / median if mode == "closed" else target * 0.998
    n, spread, client = int(rps * duration), 0.28, 0.0 if mode == "closed" else 0.21
    queue, compute = median * 0.22, median * 0.55
    fields: dict[str, Any] = {
        "name": name,
        "mode": mode,
        "target": target,
        "offered_rps": None if mode == "closed" else target * 1.004,
        "duration_s": duration,
        "valid": True,
        "reasons": [],
        "checks": [
            Check(name="samples for p99", passed=True, detail=f"{n} answers, 459 needed", recommendation=None),
            Check(name="errors", passed=True, detail="0 of 0.1 %", recommendation=None),
            Check(
                name="sends on time",
                passed=True,
                detail="p99 of sending late 0.8 ms, limit 2.5 ms",
                recommendation=None,
            ),
        ],
        "notes": [],
        "client_bound": False,
        "requests": n,
        "errors": {},
        "throughput_rps": rps,
        "latency_ms": percentiles(median + client, spread + 0.04, n),
        "service_ms": percentiles(median, spread, n),
        "sent_late_ms": percentiles(0.2, 0.5, n),
        "attribution_ms": Attribution(
            client=client,
            wire=median - queue - compute if counted else median,
            queue=queue if counted else None,
            compute=compute if counted else None,
        ),
        "mean_batch": max(1.0, load * 0.8) if counted else None,
        "client_cpu": min(0.95, rps / 1800),
        "answers_checked": 64,
        "wrong_answers": 0,
        "course": [
            Point(
                t_s=0.5 * i,
                throughput_rps=rps * (1 + 0.05 * math.sin(i)),
                p50_ms=median * (1 + 0.08 * math.cos(i)),
            )
            for i in range(int(2 * duration))
        ],
    }
    return StageResult(**(fields | changes))


def invalid_stage(name: str, speed: float) -> StageResult:
    """A stage whose client could not keep the schedule."""
    failed = Check(
        name="sends on time",
        passed=False,
        detail="p99 of sending late 61 ms, limit 2.5 ms",
        recommendation="lower the rate or raise in_flight in models.toml",
    )
    bad = stage(name, speed)
    return bad.model_copy(
        update={"valid": False, "reasons": ["sends on time: 61 ms late"], "checks": [*bad.checks[:2], failed]}
    )


def parity(max_abs: float = 3.2e-7, **changes: Any) -> Parity:
    """An export that agrees."""
    fields: dict[str, Any] = {
        "passed": True,
        "max_abs": max_abs,
        "max_rel": 40 * max_abs,
        "agreement": 1.0,
        "requests": 64,
    }
    return Parity(**(fields | changes))


def variant(model: str, format: str, engine: str, protocol: str, **changes: Any) -> Variant:
    """One variant that went through all stages."""
    speed = SPEEDS.get((model, format, engine, protocol), 4.0)
    embedded = engine == "tfserving"
    stand_in = None if embedded else STAND_INS.get(format)
    names = ("closed-1", "closed-4", "closed-16", "open-200")
    fields: dict[str, Any] = {
        "id": f"{model}__{format}__{engine}__{protocol}",
        "model": model,
        "format": format,
        "engine": engine,
        "engine_kind": "embedded" if embedded else "real",
        "engine_version": "0.1.0 on TensorFlow 2.21.0" if embedded else "2.61.0",
        "backend_kind": "native" if embedded else "python",
        "stand_in_for": stand_in,
        "device": "cpu",
        "protocol": protocol,
        "configuration": Configuration(max_batch_size=32, max_queue_delay_us=500, instances=1, threads=1),
        "artifact_sha256": hashlib.sha256(f"{model} {format}".encode()).hexdigest(),
        "parity": VariantParity(export=parity(2.4e-7), engine=None if embedded else parity(), endpoint=parity()),
        "load_to_ready_s": 1.4 + speed / 4,
        "first_request_ms": 20 + 3 * speed,
        "complete": True,
        "rankable": not embedded,
        "rank_class": "cpu, stand-ins" if stand_in else "cpu, real",
        "not_ranked_because": ["the engine is embedded"] if embedded else [],
        "stages": [
            stage(name, speed, counted=not embedded, client_bound=name == "closed-16" and speed < 3) for name in names
        ],
        "slo": SloResult(
            passed=True,
            max_rps=MaxRate(value=RATE, low=RATE, high=None),
            cost_per_million=None,
            cost_reason="no price per hour is configured",
            reasons=[f"p99 is at most {P99_MS:g} ms at {RATE:g} req/s: kept"],
        ),
    }
    return Variant(**(fields | changes))


def winner(model: str, rank_class: str, format: str, protocol: str = "grpc") -> Winner:
    """A winner on Triton."""
    identity = f"{model}__{format}__triton__{protocol}"
    sentence = f"{model}: {format} on Triton has the lowest p99 at 200 req/s, by more than the noise of 6 %."
    return Winner(model=model, rank_class=rank_class, variant=identity, tied=[], passed=True, sentence=sentence)


def report(**changes: Any) -> Report:
    """The default run: two text models, ten variants, everything valid."""
    fields: dict[str, Any] = {
        "schema_version": 1,
        "id": "20260131-120000",
        "started": "2026-01-31T12:00:00Z",
        "machine": Machine(processor="AMD EPYC 7763", cores=2, memory_gib=7.8, kernel="Linux 6.8.0", python="3.11.7"),
        "versions": {
            "locust": "2.47.0",
            "tritonclient": "2.73.0",
            "onnxruntime": "1.32.0",
            "tensorflow": "2.21.0",
        },
        "target": "25.09",
        "verdict": "PASS",
        "sentence": "Both models keep p99 ≤ 50 ms at 200 req/s, onnx on Triton over gRPC ahead.",
        "warnings": [
            SHARED_CORES,
            "TF Serving is an embedded replacement; its figures are shown and never ranked.",
            "onnx and torchscript ran on Python-based backends that stand in for Triton's native ones.",
        ],
        "objectives": {
            name: {"rate": RATE, "p99_ms": P99_MS, "error_rate": 0.001}
            for name in ("sentiment_torch", "sentiment_keras")
        },
        "accuracy": {
            "sentiment_torch": {"accuracy": 0.8731, "baseline": 0.5, "test_rows": 5000},
            "sentiment_keras": {"accuracy": 0.8654, "baseline": 0.5, "test_rows": 5000},
        },
        "unserved": {"sentiment_torch savedmodel": "unsupported: PyTorch does not export to SavedModel"},
        "resident": ["sentiment_torch__torchscript", "sentiment_torch__onnx", "sentiment_keras__savedmodel"],
        "variants": [variant(*key) for key in SPEEDS],
        "winners": [
            winner("sentiment_torch", "cpu, stand-ins", "onnx"),
            winner("sentiment_keras", "cpu, real", "savedmodel"),
            winner("sentiment_keras", "cpu, stand-ins", "onnx"),
        ],
        "noise": Noise(
            variant="sentiment_torch__onnx__triton__grpc",
            p99_relative=0.061,
            p50_relative=0.012,
            low=-0.021,
            high=0.034,
            p50_low=-0.018,
            p50_high=0.041,
            p99_low=-0.112,
            p99_high=0.153,
            reason="The first variant was measured again at the end of the run.",
        ),
    }
    return Report(**(fields | changes))


def awkward() -> Report:
    """A failed run: invalid stages, no claims, tie, failed parity, an interrupted variant, hostile names."""
    base = report()
    torch_http, torch_grpc, onnx_http, onnx_grpc, *keras = base.variants
    unclaimed = Percentile(value=61.0, upper=None, missing=2400)
    nothing = Percentile(value=None, upper=None, missing=459)
    thin = onnx_http.stages[-1]
    thin = thin.model_copy(
        update={"latency_ms": thin.latency_ms.model_copy(update={"p99": unclaimed, "p999": nothing})}
    )
    unjudged = torch_http.slo.model_copy(update={"passed": None, "max_rps": MaxRate(value=None, low=None, high=None)})
    differs = parity(0.4, passed=False, agreement=0.93, reasons=["r0007: 'logits' is out of tolerance"])
    variants = [
        torch_http.model_copy(
            update={
                "stages": [*torch_http.stages[:3], invalid_stage("open-200", 4.6)],
                "rankable": False,
                "not_ranked_because": ["its open-loop stage is INVALID: sends on time"],
                "slo": unjudged,
            }
        ),
        torch_grpc.model_copy(
            update={
                "complete": False,
                "stages": torch_grpc.stages[:1],
                "rankable": False,
                "not_ranked_because": ["the run was interrupted"],
                "slo": unjudged,
            }
        ),
        onnx_http.model_copy(
            update={
                "stages": [*onnx_http.stages[:3], thin],
                "slo": onnx_http.slo.model_copy(
                    update={
                        "passed": False,
                        "max_rps": MaxRate(value=None, low=None, high=200.0),
                        "reasons": ["p99 61.0 ms is over 50 ms at 200 req/s"],
                    }
                ),
            }
        ),
        onnx_grpc.model_copy(
            update={
                "parity": VariantParity(export=differs, engine=None, endpoint=differs),
                "rankable": False,
                "stages": [],
                "complete": False,
                "not_ranked_because": [INJECTION],
                "slo": unjudged,
            }
        ),
        *keras,
        variant(f"evil{INJECTION}", "onnx", "triton", "http", not_ranked_because=[INJECTION]),
    ]
    tie = Winner(
        model="sentiment_keras",
        rank_class="cpu, stand-ins",
        variant=None,
        passed=True,
        sentence="Too close to call.",
        tied=[item.id for item in keras if item.format == "onnx"],
    )
    return report(
        verdict="FAIL",
        sentence=f"sentiment_torch misses p99 ≤ 50 ms at 200 req/s; {INJECTION} is a name.",
        variants=variants,
        winners=[winner("sentiment_keras", "cpu, real", "savedmodel"), tie],
        warnings=[INJECTION, *base.warnings],
        unserved={
            **base.unserved,
            "sentiment_keras onnx": f"failed: parity, max |difference| 0.4 {INJECTION}",
        },
        noise=Noise(
            variant=None,
            p99_relative=None,
            p50_relative=None,
            low=None,
            high=None,
            reason="nothing was repeated",
        ),
    )


def empty() -> Report:
    """A run that was over before anything was measured."""
    nothing = Noise(
        variant=None, p99_relative=None, p50_relative=None, low=None, high=None, reason="nothing was measured"
    )
    return report(
        verdict="INVALID",
        sentence="No variant was measured.",
        warnings=[],
        accuracy={},
        unserved={},
        resident=[],
        variants=[],
        winners=[],
        noise=nothing,
    )
