"""What a person reads of a deployment: numbers with their formulas, what could mislead, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from serving.deploying.origin import caveats
from serving.deploying.plan import Plan


def described(plan: Plan) -> Iterator[str]:
    """What is deployed, every number with its formula, and what could mislead."""
    case = plan.case
    yield f"{plan.laid.name} on {case.recommended.engine}, {case.device}; report {case.recommendation.report}"
    yield from plan.size.lines()
    yield from (f"unmeasured: {reason}" for reason in plan.unmeasured_because)
    yield from (f"required: {flag}" for flag in plan.missing)
    yield from (f"warning: {caveat}" for caveat in caveats(plan))


def steps(plan: Plan, out: Path) -> Iterator[str]:
    """What a person does next; commands are quoted for the shell."""
    namespace, unmeasured = plan.case.wanted.namespace, plan.case.wanted.unmeasured
    yield f"wrote {out}"
    if plan.missing:
        yield "next: the same with --replicas 1 --fixed, which measures one pod; the cluster refuses words for numbers"
        return
    yield from _before(plan)
    brought = f"{plan.laid.folder}, artifacts/ and models.toml" if unmeasured else str(plan.laid.folder)
    yield f"next: bring {brought} into the volume of the claim model-store"
    watched = f" && kubectl -n {namespace} logs -f job/measure" if unmeasured else ""
    yield f"then: kubectl apply -k {quote(str(out))}{watched}"


def _before(plan: Plan) -> Iterator[str]:
    """What the cluster does with it that could surprise."""
    namespace, engine = plan.case.wanted.namespace, plan.engine
    yield (
        f"note: {namespace} holds one deployment named {engine}: whatever it serves is replaced; "
        "another model goes into another --namespace"
    )
    if plan.case.wanted.monitored:
        yield "note: the cluster needs the Prometheus operator; --without monitoring leaves alerts and autoscaler out"
    if plan.autoscaled:
        yield (
            f"note: if it runs with --fixed now, first take spec.replicas out with 'kubectl -n {namespace} apply "
            f"edit-last-applied deployment/{engine}': else it falls to one pod until the autoscaler acts"
        )
