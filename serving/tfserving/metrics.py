"""Request counts and latencies in Prometheus text, under TensorFlow Serving's names.

Latencies are microseconds in its buckets (10 us times 1.8 to the power of 0..32). One observation costs a
bisect and a short lock; a series exists only for models of the configuration, so clients cannot grow the
page.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import accumulate

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
EXAMPLE_COUNT = ":tensorflow:serving:request_example_count_total"
RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"
BUCKET_LIMITS = [10 * 1.8**power for power in range(33)]

_Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts per bucket and their sum; the last bucket is everything beyond the last limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(BUCKET_LIMITS) + 1)
        self._sum = 0.0

    def observe(self, microseconds: float) -> None:
        # a value on a limit belongs to the bucket that ends there (Prometheus' le)
        bucket = bisect_left(BUCKET_LIMITS, microseconds)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += microseconds

    def lines(self, name: str, labels: str) -> list[str]:
        """The series of this histogram; ``labels`` is the inside of the braces."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        limits = [f"{limit:g}" for limit in BUCKET_LIMITS] + ["+Inf"]
        lines = [
            f'{name}_bucket{{{labels},le="{limit}"}} {count}'
            for limit, count in zip(limits, accumulate(counts), strict=True)
        ]
        return [*lines, f"{name}_sum{{{labels}}} {total!r}", f"{name}_count{{{labels}}} {sum(counts)}"]


class Metrics:
    """All series of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._examples: dict[str, int] = {}
        self._histograms: dict[str, dict[_Labels, Histogram]] = {REQUEST_LATENCY: {}, RUNTIME_LATENCY: {}}

    def request(self, model: str, api: str, entrypoint: str, status: str, microseconds: float) -> None:
        """Count a finished request; only successes have a latency, as in TensorFlow Serving."""
        with self._lock:
            self._counts[model, status] = self._counts.get((model, status), 0) + 1
        if status == "OK":
            labels = (("model_name", model), ("API", api), ("entrypoint", entrypoint))
            self._histogram(REQUEST_LATENCY, labels).observe(microseconds)

    def run(self, model: str, api: str, microseconds: float) -> None:
        """Note the time inside TensorFlow."""
        labels = (("model_name", model), ("API", api), ("runtime", "TF1"))
        self._histogram(RUNTIME_LATENCY, labels).observe(microseconds)

    def examples(self, model: str, count: int) -> None:
        """Count the tf.Examples of a Classify or Regress."""
        with self._lock:
            self._examples[model] = self._examples.get(model, 0) + count

    def page(self) -> str:
        """The text of the metrics endpoint."""
        with self._lock:
            counts = sorted(self._counts.items())
            examples = sorted(self._examples.items())
            histograms = {name: dict(series) for name, series in self._histograms.items()}
        lines = [f"# TYPE {REQUEST_COUNT} counter"]
        for (model, status), count in counts:
            lines.append(f"{REQUEST_COUNT}{{{_inside((('model_name', model), ('status', status)))}}} {count}")
        if examples:
            lines.append(f"# TYPE {EXAMPLE_COUNT} counter")
        for model, count in examples:
            lines.append(f"{EXAMPLE_COUNT}{{{_inside((('model', model),))}}} {count}")
        for name, series in histograms.items():
            lines.append(f"# TYPE {name} histogram")
            for labels in sorted(series):
                lines.extend(series[labels].lines(name, _inside(labels)))
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, labels: _Labels) -> Histogram:
        series = self._histograms[name]
        found = series.get(labels)
        if found is None:
            with self._lock:
                found = series.setdefault(labels, Histogram())
        return found


def _inside(labels: _Labels) -> str:
    escaped = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels)
    return ",".join(f'{name}="{value}"' for name, value in escaped)
