"""`python -m serving deploy`: read the report, decide, write the overlay, print it, or compare it with the cluster."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from contract.cli import workspace_of
from contract.config import ModelsFile, read_config
from contract.errors import UsageError, nearest
from contract.files import read_model
from contract.progress import say
from contract.recommendation import Recommendation
from contract.workspace import Workspace
from serving import releases
from serving.deploying import kubectl, laid_out, sizing
from serving.deploying.against_report import AGAINST_REPORT
from serving.deploying.against_repository import AGAINST_REPOSITORY
from serving.deploying.case import Case, choose
from serving.deploying.folder import write
from serving.deploying.origin import caveats
from serving.deploying.overlay import files
from serving.deploying.plan import Plan
from serving.deploying.refusals import reasons
from serving.deploying.wanted import HEADROOM, Wanted

K8S = Path(__file__).resolve().parents[2] / "k8s"
DIFFERENT = 1  # exit code of --diff, as of `kubectl diff`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `deploy`, beside those of every stage."""
    parser.add_argument(
        "--from",
        dest="recommendation",
        type=Path,
        help="the recommendation.json to deploy by; the newest report's when absent",
    )
    parser.add_argument("--model", help="which of the recommended models, where there are several")
    parser.add_argument("--rate", type=float, help="requests per second to hold, instead of the objectives' rate")
    parser.add_argument("--headroom", type=float, default=HEADROOM, help="share of the rate on top of it")
    parser.add_argument("--target", help="the Triton release that the cluster runs, instead of models.toml's")
    parser.add_argument("--device", help="cpu, or gpu:PRODUCT as nodes are labelled; what was measured when absent")
    parser.add_argument("--image", help="image of the server, NAME:TAG or NAME@sha256:…, instead of the engine's own")
    parser.add_argument("--fixed", action="store_true", help="a fixed number of pods: no autoscaler")
    parser.add_argument("--use", type=Path, help="the tuned.toml that was measured with")
    parser.add_argument("--out", type=Path, help="folder of the overlay; k8s/rendered/MODEL when absent")
    parser.add_argument(
        "--unmeasured",
        action="store_true",
        help="take no figure from the report; say so, and bring the job that measures",
    )
    parser.add_argument("--replicas", type=int, help="with --unmeasured: pods, which nothing measured says")
    parser.add_argument("--queue-us", type=int, help="with --unmeasured: the autoscaler's threshold, microseconds")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="print the objects and write nothing")
    instead.add_argument(
        "--diff",
        action="store_true",
        help="compare the objects with the cluster and write nothing; exit code 1: it differs",
    )


def deploy(options: argparse.Namespace) -> int:
    """Carry the command out. Raises UsageError where this is not to be deployed."""
    if not (K8S / "base").is_dir():
        raise UsageError(f"{K8S} holds no bases; run this in a checkout of the project, which has them")
    workspace = workspace_of(options)
    plan = decide(options, workspace)
    if options.dry_run or options.diff:
        for line in described(plan):
            say(line)
        text = kubectl.diff(_rendered(plan)) if options.diff else _rendered(plan)
        print(text, end="")
        return DIFFERENT if options.diff and text else 0
    out = (options.out or workspace.root / "k8s" / "rendered" / plan.case.model).resolve()
    write(out, files(plan, _seen_from(out)))
    kubectl.kustomize(out)  # what it cannot render, nobody can apply
    for line in (*described(plan), *steps(plan, out)):
        print(line)
    return 0


def _rendered(plan: Plan) -> str:
    """The objects of the overlay, of which nothing is left behind."""
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / plan.case.model
        write(overlay, files(plan, _seen_from(overlay)))
        return kubectl.kustomize(overlay)


def decide(options: argparse.Namespace, workspace: Workspace) -> Plan:
    """Read everything, and refuse or plan."""
    config = read_config(options.config, options.use)
    file = options.recommendation or workspace.reports / "latest" / "recommendation.json"
    recommendation = read_model(file, Recommendation, "make slo")
    name = choose(recommendation, options.model)
    if name not in config.models:
        raise UsageError(
            f"{options.config} has no model '{name}'{nearest(name, list(config.models))}; it promises what is deployed"
        )
    model = config.models[name]
    case = Case(name, recommendation.models[name], recommendation, _wanted(options, config), model.slo)
    lifted = reasons(AGAINST_REPORT, case.wanted.unmeasured, case)
    laid = laid_out.find(name, model, case.recommended, workspace, case.wanted.target)
    lifted += reasons(AGAINST_REPOSITORY, case.wanted.unmeasured, case, laid)
    size = (sizing.asked if case.wanted.unmeasured else sizing.measured)(case, laid.size)
    return Plan(case, laid, size, model.batching, lifted)


def _wanted(options: argparse.Namespace, config: ModelsFile) -> Wanted:
    target = options.target or config.target
    releases.parse(target)
    return Wanted(
        target=target,
        device=options.device,
        rate=options.rate,
        headroom=options.headroom,
        image=options.image,
        fixed=options.fixed,
        unmeasured=options.unmeasured,
        replicas=options.replicas,
        queue_us=options.queue_us,
    )


def described(plan: Plan) -> Iterator[str]:
    """What is deployed, every number with its formula, and what could mislead."""
    case = plan.case
    yield f"{plan.laid.name} on {case.recommended.engine}, {case.device}; report {case.recommendation.report}"
    yield from plan.size.lines()
    if case.wanted.unmeasured:
        yield from (f"unmeasured: {reason}" for reason in plan.unmeasured_because)
        yield from (f"required: {flag}" for flag in plan.missing)
    else:
        yield from (f"warning: {caveat}" for caveat in caveats(case))


def steps(plan: Plan, out: Path) -> Iterator[str]:
    """What a person does next."""
    yield f"wrote {out}"
    if plan.missing:
        yield "next: the same with --replicas 1 --fixed, which measures one pod; the cluster refuses words for numbers"
    elif plan.case.wanted.unmeasured:
        yield f"next: bring {plan.laid.folder}, artifacts/ and models.toml into the volume of the claim model-store"
        yield f"then: kubectl apply -k {out} && kubectl -n loadproof logs -f job/measure"
    else:
        yield f"next: bring {plan.laid.folder} into the volume of the claim model-store"
        yield f"then: kubectl apply -k {out}"


def _seen_from(folder: Path) -> str:
    return Path(os.path.relpath(K8S, folder.resolve())).as_posix()
