"""Request counts, latencies and batch sizes in Prometheus text, under TensorFlow Serving's names.

Its buckets too: a scale times a growth to the power of 0, 1, 2 ... Latencies are microseconds. One observation costs a
bisect and a short lock; the labels of models are only those of the configuration, so clients cannot grow the page.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

_PREFIX = ":tensorflow:serving:"
_BATCHING = f"{_PREFIX}batching_session:"


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """Limits of buckets, as tensorflow::monitoring::Buckets::Exponential has them."""
    return tuple(scale * growth**power for power in range(count))


BUCKET_LIMITS, QUEUING = exponential(10, 1.8, 33), exponential(100, 1.2, 52)
EXAMPLES, BATCH = exponential(1, 2, 15), exponential(1, 2, 14)


@dataclass(frozen=True)
class Family:
    """All series of one name: their labels, and the limits of the buckets (none: a counter)."""

    name: str
    labels: tuple[str, ...]
    limits: tuple[float, ...] = ()


REQUEST_COUNT = Family(f"{_PREFIX}request_count", ("model_name", "status"))
REQUEST_LATENCY = Family(f"{_PREFIX}request_latency", ("model_name", "API", "entrypoint"), BUCKET_LIMITS)
RUNTIME_LATENCY = Family(f"{_PREFIX}runtime_latency", ("model_name", "API", "runtime"), BUCKET_LIMITS)
EXAMPLE_TOTAL = Family(f"{_PREFIX}request_example_count_total", ("model",))
EXAMPLE_COUNTS = Family(f"{_PREFIX}request_example_counts", ("model",), EXAMPLES)
WARMUP_LATENCY = Family(f"{_PREFIX}model_warmup_latency", ("model_path", "status"), BUCKET_LIMITS)
QUEUING_LATENCY = Family(f"{_BATCHING}queuing_latency", ("thread_pool_name",), QUEUING)
INPUT_BATCH = Family(f"{_BATCHING}input_batch_size", (), BATCH)
PROCESSED_BATCH = Family(f"{_BATCHING}processed_batch_size", (), BATCH)
PADDING = Family(f"{_BATCHING}padding_size", ("execution_batch_size",), BATCH)
WRAPPED_RUNS = Family(f"{_BATCHING}wrapped_run_count", ())
FAMILIES = (
    REQUEST_COUNT,
    REQUEST_LATENCY,
    RUNTIME_LATENCY,
    EXAMPLE_TOTAL,
    EXAMPLE_COUNTS,
    WARMUP_LATENCY,
    QUEUING_LATENCY,
    INPUT_BATCH,
    PROCESSED_BATCH,
    PADDING,
    WRAPPED_RUNS,
)


class Counter:
    """A number that only grows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, count: int = 1) -> None:
        with self._lock:
            self._count += count

    def lines(self, name: str, labels: str) -> list[str]:
        """As text; ``labels`` is the inside of the braces."""
        return [f"{name}{{{labels}}} {self._count}"]


class Histogram:
    """Counts per bucket and the sum of what was observed; the last bucket is everything beyond the last limit."""

    def __init__(self, limits: tuple[float, ...] = BUCKET_LIMITS) -> None:
        self._lock = threading.Lock()
        self._limits = limits
        self._counts = [0] * (len(limits) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        # a value on a limit belongs to the bucket that ends there (Prometheus' le)
        bucket = bisect_left(self._limits, value)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        """As text; ``labels`` is the inside of the braces."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        before = f"{labels}," if labels else ""
        limits = [*(f"{limit:g}" for limit in self._limits), "+Inf"]
        buckets = [
            f'{name}_bucket{{{before}le="{limit}"}} {count}'
            for limit, count in zip(limits, accumulate(counts), strict=True)
        ]
        return [*buckets, f"{name}_sum{{{labels}}} {total!r}", f"{name}_count{{{labels}}} {sum(counts)}"]


class Metrics:
    """All series of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[Family, dict[tuple[str, ...], Counter]] = {
            family: {} for family in FAMILIES if not family.limits
        }
        self._histograms: dict[Family, dict[tuple[str, ...], Histogram]] = {
            family: {} for family in FAMILIES if family.limits
        }

    def request(self, model: str, api: str, entrypoint: str, status: str, microseconds: float) -> None:
        """Count a finished request; only successes have a latency, as in TensorFlow Serving."""
        self._counter(REQUEST_COUNT, model, status).add()
        if status == "OK":
            self._histogram(REQUEST_LATENCY, model, api, entrypoint).observe(microseconds)

    def run(self, model: str, api: str, microseconds: float) -> None:
        """Note the time inside TensorFlow."""
        self._histogram(RUNTIME_LATENCY, model, api, "TF1").observe(microseconds)

    def examples(self, model: str, count: int) -> None:
        """Count the tf.Examples of one request."""
        self._counter(EXAMPLE_TOTAL, model).add(count)
        self._histogram(EXAMPLE_COUNTS, model).observe(count)

    def warmed_up(self, path: str, status: str, microseconds: float) -> None:
        """Note how long the warm-up of a version took, and how it ended."""
        self._histogram(WARMUP_LATENCY, path, status).observe(microseconds)

    def enqueued(self, rows: int) -> None:
        """Note a request that asks to be joined with others."""
        self._histogram(INPUT_BATCH).observe(rows)

    def waited(self, thread_pool: str, microseconds: float) -> None:
        """Note how long a request was in its queue."""
        self._histogram(QUEUING_LATENCY, thread_pool).observe(microseconds)

    def batch(self, rows: int, padding: int) -> None:
        """Count the run of a batch: ``rows`` real ones, and ``padding`` to fill it up to an allowed size."""
        size = rows + padding
        self._counter(WRAPPED_RUNS).add()
        self._histogram(PROCESSED_BATCH).observe(size)
        self._histogram(PADDING, str(size)).observe(padding)

    def page(self) -> str:
        """The text of the metrics endpoint: every family in alphabetical order, those without a series too."""
        with self._lock:
            families: dict[Family, dict[tuple[str, ...], Any]] = {**self._counters, **self._histograms}
            families = {family: dict(series) for family, series in families.items()}
        lines = []
        for family in sorted(families, key=lambda family: family.name):
            lines.append(f"# TYPE {family.name} {'histogram' if family.limits else 'counter'}")
            for values in sorted(families[family]):
                lines.extend(families[family][values].lines(family.name, _inside(family.labels, values)))
        return "\n".join(lines) + "\n"

    def _counter(self, family: Family, *values: str) -> Counter:
        series = self._counters[family]
        found = series.get(values)
        if found is None:
            with self._lock:
                found = series.setdefault(values, Counter())
        return found

    def _histogram(self, family: Family, *values: str) -> Histogram:
        series = self._histograms[family]
        found = series.get(values)
        if found is None:
            with self._lock:
                found = series.setdefault(values, Histogram(family.limits))
        return found


def _inside(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The inside of the braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
