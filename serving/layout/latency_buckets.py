"""The buckets in which Triton counts answers by their latency: a part of config.pbtxt that only newer releases read.

An alert on a percentile needs a bucket that ends exactly at its objective (serving/monitoring/recordings.py). What
else is there is for the eye: a histogram that begins and ends at the objective shows nothing of what lies beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tritonclient.grpc import model_config_pb2 as pb

from contract.slo import Slo
from serving.layout.releases import parse
from serving.monitoring.recordings import HISTOGRAM

FIRST_WITH_HISTOGRAMS = (26, 1)  # an older server refuses a config.pbtxt that names them
AROUND = (0.2, 0.5, 2.0, 5.0)  # multiples of each objective


def counts_latency(release: str) -> bool:
    """Whether a Triton release reads buckets. Raises UsageError for what is no release."""
    return parse(release) >= FIRST_WITH_HISTOGRAMS


def latency_buckets(slo: Slo) -> list[float]:
    """Upper bounds in milliseconds, ascending: every objective of latency, and some bounds around it."""
    objectives = set(slo.latency_ms.values())
    around = {float(f"{factor * limit:.3g}") for limit in objectives for factor in AROUND}
    return sorted(objectives | around)


def add_latency_buckets(config: pb.ModelConfig, bounds: Sequence[float]) -> None:
    """Have Triton count the model's answers by these bounds; native and python-based backends alike."""
    control = config.model_metrics.metric_control.add()
    control.metric_identifier.family = HISTOGRAM
    control.histogram_options.buckets.extend(bounds)


def buckets_of(config: pb.ModelConfig) -> list[float]:
    """The bounds that a configuration names; none where it names none."""
    controls = config.model_metrics.metric_control
    return [
        bound
        for item in controls
        if item.metric_identifier.family == HISTOGRAM
        for bound in item.histogram_options.buckets
    ]
