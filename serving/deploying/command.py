"""`python -m serving deploy`: read the report, decide, write the overlay, print it, or compare it with the cluster."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from contract.cli import workspace_of
from contract.config import ModelsFile, read_config
from contract.errors import UsageError, nearest
from contract.files import read_model
from contract.progress import say
from contract.recommendation import Recommendation
from contract.workspace import Workspace
from serving.deploying import kubectl, laid_out, sizing
from serving.deploying.against_report import AGAINST_REPORT
from serving.deploying.against_repository import AGAINST_REPOSITORY
from serving.deploying.case import Case, choose
from serving.deploying.folder import write
from serving.deploying.overlay import files
from serving.deploying.plan import Plan
from serving.deploying.refusals import reasons
from serving.deploying.wanted import HEADROOM, NAMESPACE, PROMETHEUS, WITHOUT, Wanted
from serving.deploying.words import described, steps
from serving.layout import releases

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
    parser.add_argument("--namespace", default=NAMESPACE, help="of every object; one for each model of an engine")
    parser.add_argument(
        "--without",
        choices=WITHOUT,
        action="append",
        default=[],
        help="monitoring: no alerts and no autoscaler, for a cluster without the Prometheus operator; namespace: it is "
        "there already and stays as it is",
    )
    parser.add_argument("--prometheus-namespace", default=PROMETHEUS, help="of the Prometheus that asks the servers")
    parser.add_argument("--pull-secret", help="name of the namespace's secret for a registry that asks who pulls")
    parser.add_argument("--use", type=Path, help="the tuned.toml that was measured with")
    parser.add_argument("--out", type=Path, help="folder of the overlay; k8s/rendered/MODEL when absent")
    parser.add_argument(
        "--unmeasured",
        action="store_true",
        help="take no figure from the report; say so, and bring the job that measures",
    )
    parser.add_argument("--replicas", type=int, help="with --unmeasured: pods, which nothing measured says")
    parser.add_argument("--queue-us", type=int, help="with --unmeasured: the autoscaler's threshold, microseconds")
    parser.add_argument(
        "--registry", help="with --unmeasured: where images of this project were pushed, HOST[:PORT][/PATH]"
    )
    parser.add_argument("--load-image", help="with --unmeasured: image of the job, where it has another name there")
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
        text = kubectl.diff(_rendered(plan), options.namespace) if options.diff else _rendered(plan)
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
        namespace=options.namespace,
        without=frozenset(options.without),
        prometheus=options.prometheus_namespace,
        pull_secret=options.pull_secret,
        unmeasured=options.unmeasured,
        replicas=options.replicas,
        queue_us=options.queue_us,
        load_image=options.load_image,
        registry=options.registry and options.registry.rstrip("/"),
    )


def _seen_from(folder: Path) -> str:
    return Path(os.path.relpath(K8S, folder.resolve())).as_posix()
