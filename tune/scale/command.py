"""python -m tune scale: measure a model with 1..n instances or replicas, and fit how its throughput grows."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from contract.cli import Parser, add_common, workspace_of
from contract.config import ModelsFile, read_config
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.files import read_model, write_json
from contract.progress import say
from contract.scaling import FILE, Point, Scaling
from contract.table import load
from contract.workspace import Workspace
from loadtest.group import of_group
from loadtest.interruption import kept
from loadtest.options import overridden
from loadtest.plan.admission import refuse_foreign, refuse_unbounded
from serving.replication.proxy_config import BALANCES
from tune.configuration.gauging import Setting
from tune.configuration.trial_run import TrialRun
from tune.scale.chosen import chosen
from tune.scale.counting import USERS, Counting
from tune.scale.instances import shared_cores
from tune.scale.record import cost_of_proxy, scaling, told
from tune.scale.run import NAME, scale_run
from tune.scale.unit import Subject, Unit
from tune.scale.usl import LEAST_POINTS
from tune.scale.view import DIRECT, CurveView

__all__ = ["main", "numbers_of", "scaling", "shared_cores", "told"]

RANGE = re.compile(r"^(\d+)\.\.(\d+)$")
# What is counted -> a context manager of a Subject that yields its Unit.
UNITS = {
    "instances": "tune.scale.instances:opened",
    "replicas": "tune.scale.replicas:opened",
    "deployment": "tune.scale.deployment:opened",
}
HERE = "replicas"  # whose servers are started for the curve: those that run are none of its


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    kind = "deployment" if options.deployment else "replicas" if options.replicas else "instances"
    numbers = numbers_of(options.replicas, "--replicas") if options.replicas else numbers_of(options.instances)
    config, workspace = read_config(options.config, options.use), workspace_of(options)
    config = config.model_copy(update={"load": overridden(config.load, options.max_rps)})
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    endpoint = _meant(options, config, endpoints, workspace)
    refuse_foreign([endpoint.address], options.allow_host)  # before anything is asked, started or scaled for it
    refuse_unbounded([endpoint.address], config.load.max_rps)
    subject = Subject(
        config,
        workspace,
        endpoint,
        most=numbers[-1],
        memory_mib=options.memory_mib,
        balance=options.balance,
        proxy_threads=options.proxy_threads,
        deployment=options.deployment,
    )
    if kind == HERE:
        endpoints = endpoints.model_copy(update={"servers": []})
    typed = ["python", "-m", "tune", NAME, *arguments]
    run: TrialRun | None = None
    try:
        with (
            load(UNITS[kind])(subject) as unit,
            CurveView(numbers, len(options.users), unit.name) as view,
            scale_run(config, workspace, endpoints, endpoint, options.allow_host, typed, view) as run,
        ):
            setting = Setting("rate", run.results, config.load.in_flight, max_rps=config.load.max_rps)
            counting = Counting(run.session, unit, setting, options.users)
            found = curve(counting, unit, endpoint, numbers, run.results, view)
    except KeyboardInterrupt:
        if run is not None:
            say(kept(run.session.plan, run.results))
        raise
    print("\n".join(filter(None, [cost_of_proxy(found), found.reason, str(run.results)])))
    return 0


def _meant(options: argparse.Namespace, config: ModelsFile, endpoints: Endpoints, workspace: Workspace) -> Endpoint:
    """The endpoint that is named, if it is of the group; where none is, the recommended one of the group."""
    if options.variant:
        return of_group([chosen(options.variant, endpoints, workspace)], config, options.group)[0]
    offered = of_group(endpoints.endpoints, config, options.group)
    return chosen("", endpoints.model_copy(update={"endpoints": offered}), workspace)


class Watcher(Protocol):
    """Who is told of the points of a curve."""

    def begins(self, what: str) -> None: ...

    def over(self, points: Sequence[Point], direct: Point | None) -> None: ...


class Nobody:
    """Hears of none."""

    def begins(self, what: str) -> None: ...

    def over(self, points: Sequence[Point], direct: Point | None) -> None: ...


def curve(
    counting: Counting,
    unit: Unit,
    endpoint: Endpoint,
    numbers: Sequence[int],
    results: Path,
    watcher: Watcher = Nobody(),  # noqa: B008 (it has no state)
) -> Scaling:
    """Measure every number and write the record after each, so that an interruption keeps what was measured.

    The ``watcher`` hears of each number as it begins and when it is over.
    """
    points: list[Point] = []
    direct: Point | None = None
    for number in numbers:
        watcher.begins(str(number))
        points.append(counting.point(number))
        watcher.over(points, direct)
        say(told(points[-1], unit.name))
        if number == 1 and unit.proxy:  # right after the point that it is compared with
            watcher.begins(DIRECT)
            direct = counting.direct(points[0].users)
            watcher.over(points, direct)
        complete = number == numbers[-1]
        front = (unit.proxy, unit.proxy_threads, direct)
        found = scaling(endpoint, points, unit.shared, complete, unit.name, *front)
        write_json(results / FILE, found)
    return found


def numbers_of(text: str, flag: str = "--instances") -> list[int]:
    """``1..5`` or ``1,2,4``: ascending, each once. Raises UsageError for anything else."""
    found = RANGE.match(text)
    words = [str(n) for n in range(int(found[1]), int(found[2]) + 1)] if found else text.split(",")
    if not words or not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise UsageError(f"{flag} is '{text}'; say numbers like 1..5 or 1,2,4")
    return sorted({int(word) for word in words})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m tune scale",
        description="Measure a model with more and more instances, or its server with more and more replicas; with "
        f"{LEAST_POINTS} of them and cores of their own for servers and load ([affinity]), the Universal Scalability "
        "Law is fitted.",
    )
    add_common(parser, served=True)
    variant = "an endpoint that is up, e.g. sentiment_torch__onnx__triton__http; by default the recommended one"
    parser.add_argument("variant", nargs="?", default="", help=variant)
    parser.add_argument("--instances", default="1..5", help="numbers of instances, like 1..5 or 1,2,4")
    parser.add_argument("--replicas", default="", help="numbers of replicas of the server instead, behind HAProxy")
    parser.add_argument("--deployment", default="", help="NAMESPACE/NAME in a cluster, whose replicas are meant")
    parser.add_argument("--balance", choices=list(BALANCES), default="leastconn", help="how HAProxy spreads requests")
    parser.add_argument("--proxy-threads", type=int, default=1, help="of HAProxy, each on a core of its own at best")
    parser.add_argument("--users", type=int, nargs="+", default=list(USERS), help="of the closed loops at each number")
    parser.add_argument(
        "--memory-mib", type=float, help="what the model's instances, or the replicas, may use together"
    )
    parser.add_argument("--allow-host", action="append", default=[], help="this host beyond loopback may be loaded")
    parser.add_argument("--max-rps", type=float, help="never more requests per second than this")
    parser.add_argument("--use", type=Path, help="a tuned.toml, as the servers were started with it")
    options = parser.parse_args(arguments)
    for flag, least in (("--users", min(options.users)), ("--proxy-threads", options.proxy_threads)):
        if least < 1:
            raise UsageError(f"{flag} is {least}; 1 at least")
    if options.deployment and not options.replicas:
        raise UsageError("--deployment says whose replicas are meant; say how many with --replicas 1..3")
    return options
