"""What an object of the cluster says of where its numbers come from, and what could mislead about them. Pure."""

from __future__ import annotations

from contract.search import Limit
from serving.deploying.case import Case
from serving.deploying.plan import Plan
from serving.deploying.sizing import KNEE
from serving.deploying.versions import is_version
from serving.deploying.wanted import split_image

OLDER = (
    "The report is older than the hash of config.pbtxt: ragged batching, queue limits, inter-op threads, graph level "
    "and TensorRT were not compared with what was measured."
)
UNLIMITED: dict[Limit, str] = {
    "load generator": "The load generator was the limit",
    "range": "The search was not allowed to go higher",
    "": "The highest rate was not sought to its end ('make slo' does)",
}


def origin(plan: Plan) -> dict[str, str]:
    """Annotations `loadproof/…`, all of them strings."""
    case, item = plan.case, plan.case.recommended
    said = {
        "measured": "no" if case.wanted.unmeasured else "yes",
        "report": case.recommendation.report,
        "variant": item.variant,
        "artifact-sha256": item.artifact_sha256,
        "release": case.wanted.target if item.engine == "triton" else item.engine_version,
        **({"image": case.wanted.image} if case.wanted.image else {}),
        "device": case.device,
        # Of the container's cores and memory: those of k8s/base, where nobody saw what the servers used.
        **({} if plan.size.cores and plan.size.memory_mib else {"resources": "base"}),
        **(_unmeasured(plan) if case.wanted.unmeasured else _measured(case)),
        "warnings": " ".join(caveats(plan)) or "none",
    }
    return {f"loadproof/{key}": value for key, value in said.items()}


def _measured(case: Case) -> dict[str, str]:
    item = case.recommended
    return {
        "max-rps": f"{item.max_rps:g}",
        "p99-ms": "unknown" if item.p99_ms is None else f"{item.p99_ms:.3g}",
        "objectives": ", ".join(f"{key} {value:g}" for key, value in item.objectives.items()),
        "rate": f"{case.rate:g}",
        "headroom": f"{case.wanted.headroom:g}",
    }


def _unmeasured(plan: Plan) -> dict[str, str]:
    return {"unmeasured-because": "; ".join(plan.unmeasured_because) or "asked for"}


def caveats(plan: Plan) -> list[str]:
    """What could mislead, in sentences: of the image that was named, and, where figures are taken, of these."""
    figures = [] if plan.case.wanted.unmeasured else _of_the_figures(plan)
    return [*_of_the_image(plan.case), *_of_the_alerts(plan.case), *figures]


def _of_the_alerts(case: Case) -> list[str]:
    """An alert that never comes looks like success."""
    if case.recommended.engine != "tfserving":
        return []
    promised = ", ".join(f"{name} <= {limit:g} ms" for name, limit in case.slo.latency_ms.items())
    return [
        f"TF Serving's page has no bucket that ends at an objective, so no alert tells of {promised}, only one of the "
        "mean: watch the percentile at the gateway or at the clients."
    ]


def _of_the_image(case: Case) -> list[str]:
    item, image = case.recommended, case.wanted.image
    if image is None:
        return []
    compared = case.image_release if item.engine == "triton" else case.image_version and is_version(item.engine_version)
    if compared and not split_image(image)["digest"]:  # what the tag tells (against_report.py)
        return []
    return [f"The image's release was not checked ({image})."]


def _of_the_figures(plan: Plan) -> list[str]:
    """The report's own warnings, and what follows for a deployment.

    That load and servers shared a machine is one of them and no refusal: what was measured is then a lower bound.
    """
    case, size = plan.case, plan.size
    item, were_there = case.recommended, case.machine_cores
    found = list(case.recommendation.warnings)
    if len(case.recommendation.resident) > 1 and item.server_mib is not None:
        found.append(f"Memory is that of {len(case.recommendation.resident)} models together: an upper bound.")
    if item.server_mib is None or item.server_cores is None:
        found.append("What the servers used was not seen: pods get the cores or the memory that the base names.")
    if size.cores and were_there and size.cores.value < were_there:
        found.append(f"A pod gets {size.cores.value} of the {were_there} cores that were there when it was measured.")
    if item.limited_by not in KNEE:
        found.append(f"{UNLIMITED[item.limited_by]}: a pod may hold more, and no queue time tells when to add one.")
    if item.engine == "triton" and item.configuration.config_sha256 is None:
        found.append(OLDER)
    if case.device == "cpu":
        machine = case.recommendation.machine
        where = machine.processor if machine else "a node whose processor nobody told"
        found.append(f"Sized on {where}; another processor has another rate.")
    return found
