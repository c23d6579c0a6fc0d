"""How the reports say things: numbers, units and names, one way for HTML, Markdown and terminal.

Everything here is pure and returns plain text; escaping is the business of the format that prints it.
Latencies are milliseconds, rates are requests per second, an absent figure is an en dash.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from contract.endpoints import Configuration
from contract.search import Limit
from contract.statistics import PERCENTILES
from contract.verdict import MaxRate, Noise, Percentile, Report, StageResult, Variant, Winner

ABSENT = "–"  # noqa: RUF001
ENGINES = {"triton": "Triton", "tfserving": "TF Serving", "kserve": "KServe v2"}
# What ended a search, where the figure is not the server's own limit.
Ended = Limit | Literal["machine"]
LIMITS: dict[Ended, str] = {
    "load generator": "limited by the load generator",
    "machine": "limited by other work on the machine",
    "answers": "too many failed requests above",
    "range": "not sought higher",
}
PROTOCOLS = {"http": "HTTP", "grpc": "gRPC", "rest": "REST"}


def number(value: float | None) -> str:
    """Milliseconds, seconds or a rate: three significant digits below 1000, whole numbers above."""
    if value is None or not math.isfinite(value):
        return ABSENT
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return "<0.01" if 0 < value < 0.005 else f"{value:.2f}"


def plain(value: float) -> str:
    """A figure that a person set (an objective, a rate, a user count): never more digits than were set."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def money(value: float | None, currency: str | None) -> str:
    """E.g. ``0.0431 USD``: three significant digits."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{number(value) if value >= 1 else f'{value:.3g}'} {currency or ''}".rstrip()


def difference(value: float | None) -> str:
    """A parity figure: two significant digits."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return "0" if value == 0 else f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.2g}"


def share(value: float | None) -> str:
    """A share as per cent; only what is whole is called 100 %."""
    if value is None or not math.isfinite(value):
        return ABSENT
    rounded = f"{100 * value:.3g}"
    if rounded == "100" and value < 1:
        rounded = ">99.9" if value > 0.999 else f"{100 * value:.4g}"
    return f"{rounded} %"


def percent(value: float) -> str:
    """A difference or a margin, in whole per cent."""
    return f"{100 * value:.0f} %"


def claim(percentile: Percentile) -> str:
    """What may be said of a percentile at 99 % confidence, or what a claim still needs."""
    if percentile.upper is not None:
        return f"≤ {number(percentile.upper)}"
    if percentile.missing > 0:
        return f"needs ~{percentile.missing:,} more"
    return "no claim"


def percentile_name(key: str) -> str:
    """``p999`` is shown as p99.9."""
    return f"{key[:3]}.{key[3:]}" if len(key) > 3 else key


def engine(variant: Variant) -> str:
    """The engine's name; an embedded one never without saying so, any server of a protocol never without its own."""
    name = ENGINES.get(variant.engine, variant.engine)
    if variant.engine == "kserve":
        return f"{name} ({variant.engine_version})"
    return f"{name} (embedded)" if variant.engine_kind == "embedded" else name


def label(variant: Variant) -> str:
    """E.g. ``onnx on Triton, gRPC``."""
    return f"{variant.format} on {engine(variant)}, {PROTOCOLS.get(variant.protocol, variant.protocol)}"


def labels(report: Report) -> dict[str, str]:
    """A label per variant id, unique within its model: device, configuration or id are added where needed."""
    candidates = {
        item.id: (
            label(item),
            f"{label(item)}, {item.device}",
            f"{label(item)}, {item.device}, {configuration(item.configuration)}",
            f"{label(item)} [{item.id}]",
        )
        for item in report.variants
    }
    taken = Counter((item.model, text) for item in report.variants for text in candidates[item.id])
    return {
        item.id: next((text for text in candidates[item.id] if taken[item.model, text] == 1), item.id)
        for item in report.variants
    }


def deployment(variant: Variant) -> str:
    """What to deploy, e.g. ``onnx on triton (real, cpu) over http with batch ≤ 32, 1 instance, 1 thread``."""
    device = "device not known" if variant.device == "unknown" else variant.device
    where = f"{variant.engine} ({variant.engine_kind}, {device})"
    return f"{variant.format} on {where} over {variant.protocol} with {configuration(variant.configuration)}"


def configuration(value: Configuration) -> str:
    """E.g. ``batch ≤ 32, queue delay ≤ 500 µs, 1 instance, 1 thread``; the rest only where it was set."""
    if value.instances is None or value.threads is None:
        return "not known"
    parts = [f"batch ≤ {value.max_batch_size}" if value.max_batch_size else "no batching"]
    if value.max_batch_size and value.max_queue_delay_us is not None:
        parts.append(f"queue delay ≤ {value.max_queue_delay_us:,} µs")
    parts += [counted(value.instances, "instance"), counted(value.threads, "thread")]
    return ", ".join([*parts, *_rest(value)])


def _rest(value: Configuration) -> list[str]:
    """What is said only where somebody set it."""
    found = []
    if value.preferred_batch_sizes:
        found.append(f"prefers batches of {', '.join(map(str, value.preferred_batch_sizes))}")
    if value.ragged:
        found.append("different lengths together")
    if value.length_buckets:
        found.append(f"padded to lengths of {', '.join(map(str, value.length_buckets))}")
    if value.queue_max_size:
        found.append(f"at most {value.queue_max_size:,} waiting")
    if value.queue_timeout_us:
        found.append(f"queue timeout {value.queue_timeout_us:,} µs")
    if value.batch_threads:
        found.append(counted(value.batch_threads, "batch thread"))
    if value.inter_op_threads:
        found.append(counted(value.inter_op_threads, "inter-op thread"))
    if value.graph_level not in (None, "all"):
        found.append(f"graph optimisations {value.graph_level}")
    if value.tensorrt not in (None, "off"):
        found.append(f"TensorRT {value.tensorrt}")
    return found


def counted(count: int, noun: str) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def models(report: Report) -> list[str]:
    """Every model that the report speaks of, in order: measured ones first."""
    return list(dict.fromkeys([*(item.model for item in report.variants), *report.objectives]))


def objective(values: dict[str, float]) -> str:
    """E.g. ``p99 ≤ 50 ms at 200 req/s, errors ≤ 0.1 %``."""
    limits = {name: values[f"{name}_ms"] for name in PERCENTILES if f"{name}_ms" in values}
    parts = [f"{percentile_name(name)} ≤ {plain(limit)} ms" for name, limit in limits.items()]
    if parts and "rate" in values:
        parts[-1] += f" at {plain(values['rate'])} req/s"
    if "error_rate" in values:
        parts.append(f"errors ≤ {share(values['error_rate'])}")
    return ", ".join(parts) or "no objective"


def limits(values: dict[str, float]) -> str:
    """The latencies of an objective in plain text, e.g. ``p95 <= 20 ms and p99 <= 50 ms``."""
    named = {name: values[f"{name}_ms"] for name in PERCENTILES if f"{name}_ms" in values}
    return " and ".join(f"{percentile_name(name)} <= {plain(limit)} ms" for name, limit in named.items())


def verdict(report: Report) -> str:
    """The verdict as one sentence that begins with its word."""
    sentence = report.sentence.strip()
    return sentence if sentence.upper().startswith(report.verdict) else f"{report.verdict}: {sentence}"


def winner_name(winner: Winner, names: dict[str, str]) -> str:
    """Who won: one variant, or the tied ones."""
    if winner.variant is not None:
        return names.get(winner.variant, winner.variant)
    return "Tie: " + "; ".join(names.get(item, item) for item in winner.tied) if winner.tied else "Tie"


def winner_reason(winner: Winner) -> str:
    """Why it won; the model's name is left out, for it stands beside the sentence."""
    return f"{winner.sentence.removeprefix(f'{winner.model}: ').rstrip('.')}."


def not_ranked(variant: Variant) -> str:
    """Why a variant takes no part in the ranking."""
    return "; ".join(variant.not_ranked_because) or "no reason was recorded"


def slo(variant: Variant) -> str:
    """``passed``, ``missed`` or ``not judged``."""
    return {True: "passed", False: "missed", None: "not judged"}[variant.slo.passed]


def max_rate(value: MaxRate) -> str:
    """What was seen of the highest rate under the SLO."""
    if value.value is None and value.limited_by:
        return f"{missed_at(value)} req/s" if value.high is not None else ""
    if value.value is None:
        return "" if value.high is None else "holds no tried rate"
    if value.high is None:
        return f"holds {plain(value.value)} req/s"
    return f"holds {plain(value.value)}, misses at {plain(value.high)} req/s"


def ended_by(value: MaxRate) -> Ended:
    """What ended a search: the machine where the load generator had time and was kept waiting."""
    return "machine" if value.kept_waiting else value.limited_by


def missed_at(value: MaxRate) -> str:
    """The upper end of what is known of the highest rate."""
    return "" if value.high is None else f"misses at {number(value.high)}"


def errors(stages: Iterable[StageResult]) -> tuple[int, str]:
    """Failed requests of the stages: their number, and the number by class."""
    classes: Counter[str] = Counter()
    for stage in stages:
        classes.update(stage.errors)
    return sum(classes.values()), ", ".join(f"{name} {count:,}" for name, count in classes.most_common() if count)


def noise(report: Report) -> str:
    """How far two measurements of the same variant lay apart."""
    found = report.noise
    reason = f"{found.reason[:1].upper()}{found.reason[1:].rstrip('.')}."
    apart = {"p50": found.p50_relative, "p99": found.p99_relative, "highest rates": found.max_rps_relative}
    known = [f"{name} {share(value)} apart" for name, value in apart.items() if value is not None]
    if found.variant is None or not known:
        return f"Not measured. {reason}"
    names = labels(report)
    same = next((f"{v.model}, {names[v.id]}" for v in report.variants if v.id == found.variant), found.variant)
    parts = [f"{same}, against itself (A/A): {', '.join(known)}"]
    if intervals := noise_intervals(found):
        parts.append(f"99 % intervals of the difference: {', '.join(intervals)}")
    return f"{'; '.join(parts)}. Variants that lie as close as these leave open are not told apart. {reason}"


def noise_intervals(found: Noise) -> list[str]:
    """The 99 % intervals of what a variant differed from itself, of each figure that has one."""
    ends = {
        "mean": (found.low, found.high),
        "p50": (found.p50_low, found.p50_high),
        "p99": (found.p99_low, found.p99_high),
    }
    return [
        f"{name} {100 * low:+.3g} % to {100 * high:+.3g} %"
        for name, (low, high) in ends.items()
        if low is not None and high is not None
    ]


def badges(variant: Variant) -> list[tuple[str, str]]:
    """Short words that set a variant apart, each with its explanation."""
    found = []
    if variant.engine_kind == "embedded":
        found.append(("embedded", "an embedded replacement of the engine: shown, never ranked"))
    if variant.stand_in_for:
        found.append(("stand-in", f"stands in for {variant.stand_in_for}"))
    if not variant.complete:
        found.append(
            ("interrupted", "the run ended before its stages were through")
            if variant.stages
            else ("not measured", "none of its stages was finished")
        )
    invalid = [stage.name for stage in variant.stages if not (stage.valid or stage.steers)]
    if invalid:
        found.append((f"INVALID {', '.join(invalid)}", "nothing is judged from these stages"))
    if not (variant.parity.export.passed and variant.parity.endpoint.passed):
        found.append(("parity failed", "does not give the trained model's answers"))
    return found


def closed_stages(variant: Variant) -> list[StageResult]:
    """The closed-loop stages by rising concurrency; of several sets of requests those of the golden batch, else of the
    first: a stage of 8 rows a request has another throughput.
    """
    closed = [stage for stage in variant.stages if stage.mode == "closed"]
    sent = min((stage.payloads for stage in closed), key=bool, default="")
    return sorted((stage for stage in closed if stage.payloads == sent), key=lambda stage: stage.target)


def open_stage(report: Report, variant: Variant) -> StageResult | None:
    """The open-loop stage that the SLO is judged at: a valid one, of the objective's rate or else next above it.

    Where there is none, the nearest that was measured. Of a search it is the confirmation that was kept, else the last.
    """
    stages = [stage for stage in variant.stages if stage.of_slo]
    if report.search is not None:
        kept = [stage for stage in stages if stage.target == variant.slo.max_rps.value]
        return next(reversed([*stages, *kept]), None)
    rate = report.objectives.get(variant.model, {}).get("rate", math.inf)

    def far(stage: StageResult) -> tuple[bool, bool, float]:
        return not stage.valid, stage.target < rate, abs(stage.target - rate) if math.isfinite(rate) else -stage.target

    return min(stages, key=far, default=None)
