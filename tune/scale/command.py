"""python -m tune scale: measure a model with 1..n instances, and fit how its throughput grows where that is allowed."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser, add_common, workspace_of
from contract.config import ModelsFile, read_config
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.files import read_model, write_json
from contract.hosts import beyond_loopback
from contract.progress import say
from contract.scaling import FILE, Point, Scaling
from serving.reconfiguring import check, reconfigurable
from tune.configuration.gauging import Setting
from tune.configuration.machine_room import room
from tune.configuration.space import now
from tune.configuration.trial_run import choose, trial_run
from tune.scale.instances import USERS, Counting
from tune.scale.usl import LEAST_POINTS, predict

NAME = "scale"
RANGE = re.compile(r"^(\d+)\.\.(\d+)$")


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    numbers = numbers_of(options.instances)
    config, workspace = read_config(options.config, options.use), workspace_of(options)
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    endpoint = _one(choose(endpoints, [options.variant]))
    check(config, endpoint, workspace)
    model = config.models[endpoint.model]
    around = room(config, endpoint, workspace, now(model.batching, model), options.memory_mib)
    if refusal := around.memory_refusal(numbers[-1]):
        raise UsageError(f"{refusal}; measure fewer with --instances")
    shared = shared_cores(config, endpoint)
    points: list[Point] = []
    with trial_run(config, workspace, endpoints, [endpoint], NAME) as run:
        setting = Setting("rate", run.results, config.load.in_flight, max_rps=config.load.max_rps)
        with reconfigurable(config, endpoint, workspace) as reloaded:
            counting = Counting(run.session, reloaded, endpoint, setting, options.users)
            for number in numbers:
                points.append(counting.point(number))
                say(told(points[-1]))
                write_json(run.results / FILE, scaling(endpoint, points, shared, complete=number == numbers[-1]))
    found = scaling(endpoint, points, shared, complete=True)
    print(f"{found.reason}\n{run.results}")
    return 0


def scaling(endpoint: Endpoint, points: Sequence[Point], shared: str, complete: bool) -> Scaling:
    """The record of what was measured, with the law that fits it or the reason why there is none."""
    prediction, reason = predict([(point.n, point.closed_rps) for point in points], shared)
    return Scaling(
        schema_version=1,
        endpoint=endpoint.id,
        unit="instances",
        points=list(points),
        shared=shared,
        prediction=prediction,
        reason=reason,
        complete=complete,
    )


def shared_cores(config: ModelsFile, endpoint: Endpoint) -> str:
    """Which cores the load generator shares with the servers; empty where [affinity] gives each its own."""
    if beyond_loopback(endpoint.address) or (config.affinity.servers and config.affinity.load):
        return ""
    return f"load generator and servers share this machine's {len(os.sched_getaffinity(0))} cores"


def numbers_of(text: str) -> list[int]:
    """``1..5`` or ``1,2,4``: ascending, each once. Raises UsageError for anything else."""
    found = RANGE.match(text)
    words = [str(n) for n in range(int(found[1]), int(found[2]) + 1)] if found else text.split(",")
    if not words or not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise UsageError(f"--instances is '{text}'; say numbers like 1..5 or 1,2,4")
    return sorted({int(word) for word in words})


def told(point: Point) -> str:
    """One point in one line."""
    rate = f"{point.max_rps:,.4g}/s under the objectives" if point.max_rps is not None else point.reason
    slow = "" if point.p99_ms is None else f", p99 {point.p99_ms:.4g} ms"
    return f"instances {point.n}: {point.closed_rps:,.4g}/s with {point.users} users{slow}; {rate}"


def _one(chosen: list[Endpoint]) -> Endpoint:
    if len(chosen) > 1:
        raise UsageError(f"several endpoints are meant; name one of {', '.join(item.id for item in chosen)}")
    return chosen[0]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m tune scale",
        description=f"Measure a model with more and more instances; with {LEAST_POINTS} of them and cores of their own "
        "for servers and load ([affinity]), the Universal Scalability Law is fitted.",
    )
    add_common(parser)
    parser.add_argument("variant", help="an endpoint of the running Triton, e.g. sentiment_torch__onnx__triton__http")
    parser.add_argument("--instances", default="1..5", help="numbers of instances, like 1..5 or 1,2,4")
    parser.add_argument("--users", type=int, nargs="+", default=list(USERS), help="of the closed loops at each number")
    parser.add_argument("--memory-mib", type=float, help="what the instances of the model may use together")
    parser.add_argument("--use", type=Path, help="a tuned.toml, as the servers were started with it")
    options = parser.parse_args(arguments)
    if min(options.users) < 1:
        raise UsageError(f"--users is {min(options.users)}; 1 at least")
    return options
