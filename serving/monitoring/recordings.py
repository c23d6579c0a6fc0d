"""What Prometheus computes once for dashboards, alerts and the autoscaler: means, shares of failed and slow requests.

Names are `level:what:operation`. Errors are those of requests that reached a model: what a client got from a server
that was not there is not among them. Latency is the server's own, without the network. Both engines tell its mean. How
many answers were late is told only by Triton's histogram (26.01 and newer): with
`--metrics-config=histogram_latencies=true`, and where `model_metrics` in the model's config.pbtxt has a bucket that
ends at the objective. The bounds of TF Serving's buckets are compiled in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from contract.slo import Slo

Rule = dict[str, Any]

WINDOWS = ("5m", "30m", "1h", "6h", "3d")


def as_model(expression: str) -> str:
    """Series of TF Serving by `model_name`, under the label that Triton's have: `model`."""
    return f'label_replace(\n{expression},\n  "model", "$1", "model_name", "(.*)"\n)'


# The share of failed requests by engine, over a window `{w}`. CANCELED is a failure: who gave up has not been answered.
ERRORS = {
    "triton": """\
sum by (namespace, model) (rate(nv_inference_request_failure[{w}]))
/
(
    sum by (namespace, model) (rate(nv_inference_request_failure[{w}]))
  + sum by (namespace, model) (rate(nv_inference_request_success[{w}]))
)""",
    "tfserving": as_model(
        '    sum by (namespace, model_name) (rate(:tensorflow:serving:request_count{{status!="OK"}}[{w}]))\n'
        "  / sum by (namespace, model_name) (rate(:tensorflow:serving:request_count[{w}]))"
    ),
}
ENGINES = tuple(ERRORS)
HISTOGRAM = "nv_inference_first_response_histogram_ms"  # of a model with one answer per request: the whole request
MEANS = {  # what Triton sums up, in microseconds; divided by the answered requests
    "request": ("request",),
    "queue": ("queue",),
    "compute": ("compute_input", "compute_infer", "compute_output"),
}
# Microseconds per answered request, over both protocols: TF Serving notes no latency of a failed one.
TFSERVING_MEAN = as_model(
    "    sum by (namespace, model_name) (rate(:tensorflow:serving:request_latency_sum[1m]))\n"
    "  / sum by (namespace, model_name) (rate(:tensorflow:serving:request_latency_count[1m]))"
)
# Less than one request a minute: keeps an idle pod at 0, without making a quiet one look faster than it is.
LEAST_RATE = 0.001


def served(model: str, namespace: str | None = None, label: str = "model") -> str:
    """The matchers of a model of models.toml: its name on TF Serving, and with each format behind it on Triton.

    ``label`` is the one that the engine has the name under. Of one namespace, or (None) of all.
    """
    return within(f'{label}=~"{_quoted(re.escape(model))}(__.+)?"', namespace)


def within(matchers: str, namespace: str | None) -> str:
    """Matchers that hold in one namespace only; None: in all."""
    return matchers if namespace is None else f'{matchers}, namespace="{namespace}"'


def bucket(limit_ms: float) -> str:
    """The matcher of the bucket that ends at an objective; Prometheus 3 writes whole bounds with `.0`."""
    return f'le=~"{_quoted(re.escape(f"{limit_ms:g}"))}(\\\\.0)?"'


def recordings() -> list[Rule]:
    """Means of a minute: request, queue, compute (microseconds) and batch (rows) by model; what scales pods, by pod."""
    return [
        *(_record(f"model:triton_{name}_us:mean1m", _mean(parts)) for name, parts in MEANS.items()),
        _record("model:tfserving_request_us:mean1m", TFSERVING_MEAN),
        _record(
            "model:triton_batch_rows:mean1m",
            "sum by (namespace, model) (rate(nv_inference_count[1m]))\n/\n"
            "sum by (namespace, model) (rate(nv_inference_exec_count[1m]))",
        ),
        # Over all models of the pod: a mean of their means would count an idle one as much as a busy one.
        _record(
            "pod:triton_queue_us:mean1m",
            "sum by (namespace, pod) (rate(nv_inference_queue_duration_us[1m]))\n/\n"
            f"clamp_min(sum by (namespace, pod) (rate(nv_inference_request_success[1m])), {LEAST_RATE:g})",
        ),
        _record(
            "pod:triton_pending_requests:mean1m",
            "sum by (namespace, pod) (avg_over_time(nv_inference_pending_request_count[1m]))",
        ),
    ]


def error_ratios() -> list[Rule]:
    """The share of failed requests, by model and engine, over every window."""
    return [
        _record(f"model:errors:ratio_rate{window}", expression.format(w=window), engine=engine)
        for engine, expression in ERRORS.items()
        for window in WINDOWS
    ]


def slow_ratios(model: str, slo: Slo, namespace: str | None = None) -> list[Rule]:
    """The share of answers that took longer than each objective of latency allows, over every window.

    Of one namespace, or (None) of all: the same model may have other objectives in another.
    """
    chosen = served(model, namespace)
    return [
        _record(
            f"model:slow:ratio_rate{window}",
            "1 -\n"
            f"sum by (namespace, model) (rate({HISTOGRAM}_bucket{{{chosen}, {bucket(limit)}}}[{window}]))\n/\n"
            f"sum by (namespace, model) (rate({HISTOGRAM}_count{{{chosen}}}[{window}]))",
            service=model,
            objective=percentile,
        )
        for percentile, limit in slo.latency_ms.items()
        for window in WINDOWS
    ]


def uncounted(model: str, limit_ms: float, namespace: str | None = None) -> str:
    """The expression: Triton answers requests, and no bucket of its histogram ends at the objective."""
    chosen = served(model, namespace)
    return (
        f"sum by (namespace, model) (nv_inference_request_success{{{chosen}}})\nunless\n"
        f"sum by (namespace, model) ({HISTOGRAM}_bucket{{{chosen}, {bucket(limit_ms)}}})"
    )


def mean_over(matchers: str, limit_ms: float) -> str:
    """The expression: on either engine the mean of a minute is over an objective."""
    return "\nor\n".join(f"model:{engine}_request_us:mean1m{{{matchers}}} > {limit_ms * 1000:g}" for engine in ENGINES)


def _record(name: str, expression: str, **labels: str) -> Rule:
    return {"record": name, "expr": expression, **({"labels": labels} if labels else {})}


def _mean(parts: Sequence[str]) -> str:
    """Triton's microseconds of one kind per answered request, by model."""
    sums = [f"sum by (namespace, model) (rate(nv_inference_{part}_duration_us[1m]))" for part in parts]
    total = sums[0] if len(sums) == 1 else "(\n    " + "\n  + ".join(sums) + "\n)"
    return f"{total}\n/\nsum by (namespace, model) (rate(nv_inference_request_success[1m]))"


def _quoted(pattern: str) -> str:
    """A pattern as it stands between the quotes of PromQL."""
    return pattern.replace("\\", "\\\\")
