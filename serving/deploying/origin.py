"""What an object of the cluster says of where its numbers come from, and what could mislead about them. Pure."""

from __future__ import annotations

from serving.deploying.case import Case
from serving.deploying.plan import Plan


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
        **(_unmeasured(plan) if case.wanted.unmeasured else _measured(case)),
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
        "warnings": " ".join(caveats(case)) or "none",
    }


def _unmeasured(plan: Plan) -> dict[str, str]:
    return {"unmeasured-because": "; ".join(plan.unmeasured_because) or "asked for"}


def caveats(case: Case) -> list[str]:
    """The report's own warnings, and what follows for a deployment: in sentences.

    That load and servers shared a machine is one of them and no refusal: what was measured is then a lower bound.
    """
    item, machine = case.recommended, case.recommendation.machine
    found = list(case.recommendation.warnings)
    if len(case.recommendation.resident) > 1 and item.server_mib is not None:
        found.append(f"Memory is that of {len(case.recommendation.resident)} models together: an upper bound.")
    if item.server_mib is None or item.server_cores is None:
        found.append("What the servers used was not seen: pods get the cores or the memory that the base names.")
    if case.device == "cpu":
        found.append(f"Sized on {machine.processor}; another processor has another rate.")
    return found
