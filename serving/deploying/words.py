"""What a person reads of a deployment: numbers with their formulas, what could mislead, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from serving.deploying.origin import caveats
from serving.deploying.plan import Plan
from serving.deploying.wanted import SPACE, product


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
        but = " but without --queue-us" if plan.case.wanted.queue_us is not None else ""
        yield f"next: the same with --replicas 1 --fixed{but}, to measure a pod; the cluster refuses words for numbers"
        return
    yield from _before(plan)
    brought = f"{plan.laid.folder}, artifacts/ and models.toml" if unmeasured else str(plan.laid.folder)
    yield f"next: kubectl apply -k {quote(str(out))}"
    # The overlay brings the claim with it: before it there is nothing to bring anything into.
    yield f"then: bring {brought} into the volume of the claim model-store; until then no pod starts"
    if unmeasured:
        # Its pod proves first, in an init container: until that has ended there is no log to follow.
        here = f"kubectl -n {namespace}"
        ready = "wait --for=condition=ready --timeout=2h pod -l batch.kubernetes.io/job-name=measure"
        yield f"then: {here} {ready} && {here} logs -f job/measure"


def _before(plan: Plan) -> Iterator[str]:
    """What the cluster does with it that could surprise."""
    wanted, engine = plan.case.wanted, plan.engine
    namespace = wanted.namespace
    yield (
        f"note: {namespace} holds one deployment named {engine}: whatever it serves is replaced; "
        "another model goes into another --namespace"
    )
    if SPACE not in wanted.without:
        yield (
            f"note: the namespace {namespace} is part of it: applying makes it enforce 'restricted' for every pod in "
            "it, and 'kubectl delete -k' deletes it with its claims; --without namespace leaves it alone"
        )
    yield "note: the claim model-store asks for ReadWriteMany; where no storage class has it, every pod stays Pending"
    if plan.case.gpu:
        label = product(plan.case.device.removeprefix("gpu:"))
        yield f"note: pods stay Pending until a node has the label nvidia.com/gpu.product={label} and a free GPU"
    yield from _of_monitoring(plan)
    if wanted.unmeasured:
        yield (
            f"note: a Job is run once: 'kubectl -n {namespace} delete job measure --ignore-not-found' before it is "
            "applied again"
        )


def _of_monitoring(plan: Plan) -> Iterator[str]:
    """What alerts and autoscaler need, without which they are silent."""
    wanted = plan.case.wanted
    if not wanted.monitored:
        return
    yield (
        f"note: the cluster needs the Prometheus operator, whose Prometheus runs in the namespace {wanted.prometheus} "
        "(--prometheus-namespace) and takes monitors and rules of others (k8s/components/monitoring); "
        "--without monitoring leaves alerts and autoscaler out"
    )
    if plan.autoscaled:
        yield (
            "note: the autoscaler needs Prometheus Adapter with k8s/components/hpa/prometheus-adapter.yaml: without it "
            "it keeps its least number of pods, and so does one that sees no metrics"
        )
        yield (
            f"note: if it runs with --fixed now, first take spec.replicas out with 'kubectl -n {wanted.namespace} "
            f"apply edit-last-applied deployment/{plan.engine}': else it falls to one pod until the autoscaler acts"
        )
