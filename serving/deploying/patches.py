"""What the overlay changes of the base's Deployment, of the autoscaler and of the alerts. Pure."""

from __future__ import annotations

from typing import Any

from serving.deploying.origin import origin
from serving.deploying.plan import Plan, or_required
from serving.deploying.sizing import Size
from serving.deploying.wanted import product
from serving.monitoring.burn_rates import document

STARTUP_PERIOD_S = 5  # of the bases' startup probes
Document = dict[str, Any]


def server(plan: Plan) -> Document:
    """The patch of the Deployment."""
    size = plan.size
    container = {
        "name": "server",
        "startupProbe": {"failureThreshold": -(-size.startup_s.value // STARTUP_PERIOD_S)},
        "resources": _same(_resources(size)),
    }
    pod: Document = {
        "initContainers": [{"name": "check", "resources": _same({"ephemeral-storage": f"{size.disk_gib}Gi"})}],
        "containers": [container],
        "volumes": [{"name": "models", "emptyDir": {"sizeLimit": f"{size.models_gib.value}Gi"}}],
    }
    if plan.case.gpu:
        pod["affinity"] = _on_product(product(plan.case.device.removeprefix("gpu:")))
    # With an autoscaler the number of pods is its own.
    replicas = {} if plan.autoscaled else {"replicas": or_required(size.replicas, "--replicas")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": plan.engine, "annotations": origin(plan)},
        "spec": {**replicas, "progressDeadlineSeconds": size.deadline_s, "template": {"spec": pod}},
    }


def autoscaler(plan: Plan) -> Document:
    """The patch of the HorizontalPodAutoscaler; both thresholds are means over the pods."""
    size = plan.size
    thresholds = {"triton_queue_us": size.queue_us, "triton_pending_requests": size.pending}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": plan.engine, "annotations": origin(plan)},
        "spec": {
            # Never below what the rate needs: the promise does not hang on the autoscaler.
            "minReplicas": or_required(size.replicas, "--replicas"),
            "maxReplicas": or_required(size.most_replicas, "--replicas"),
            "metrics": [
                _pods_metric(name, str(or_required(figure, "--queue-us"))) for name, figure in thresholds.items()
            ],
        },
    }


def rules(plan: Plan) -> Document:
    """The patch of the PrometheusRule: its alerts are on what this models.toml promises of this model, and no other.

    They are of its namespace alone: one Prometheus may watch the same model elsewhere, under other objectives. A custom
    resource is merged key by key and its lists are replaced, so nothing of the component's own is left.
    """
    return document({plan.case.model: plan.case.slo}, plan.case.wanted.namespace)


def _pods_metric(name: str, value: str) -> Document:
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}


def _resources(size: Size) -> dict[str, str]:
    """What is known; the rest stays as the base has it."""
    found = {"ephemeral-storage": f"{size.disk_gib}Gi"}
    if size.cores:
        found["cpu"] = str(size.cores.value)
    if size.memory_mib:
        found["memory"] = f"{size.memory_mib.value}Mi"
    return found


def _same(resources: dict[str, str]) -> Document:
    """Requests are limits: a pod has what was measured."""
    return {"requests": resources, "limits": resources}


def _on_product(label: str) -> Document:
    expression = {"key": "nvidia.com/gpu.product", "operator": "In", "values": [label]}
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
