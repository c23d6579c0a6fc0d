"""Do two generators see the same latency? python -m bench.agreement --perf-analyzer FOLDER [--rate 300] [--rounds 5]

At an equal, evenly spread rate below saturation the load command and perf_analyzer ask the same Triton for the same, in
turns. perf_analyzer counts from the actual send, so it is compared with our service time; our latency from the intended
send stands beside it. What perf_analyzer's own rounds differ by (A/A) is how far two measurements of the same lie apart
here. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.generators.contenders import Rig, analyzed, output_of, without_perf_analyzer
from bench.generators.question import Question
from bench.load import only_one_request, served
from bench.serving import prepare
from contract.cli import Parser, run
from contract.errors import ServerError, UsageError
from contract.files import read_model
from contract.golden import read_examples
from contract.manifest import GOLDEN
from contract.progress import say
from contract.records import Observation, read_records
from contract.statistics import Floats, order_statistic
from contract.workspace import Workspace

PLAN = "agreement"
SHOWN = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
Figures = dict[str, float]  # percentile -> milliseconds


def plan(rate: float, window_s: float) -> str:
    """The lines of models.toml that add the plan of one evenly spread open-loop stage."""
    stage = f'shape = "steady", arrivals = "constant", rate = {rate}, duration_s = {window_s}, warmup_s = 1'
    return f"plans = {{ {PLAN} = {{ rounds = 1, stages = [{{ {stage} }}] }} }}\n"


def ours(rig: Rig, protocol: str) -> tuple[Figures, Figures]:
    """(service time, latency from the intended send) of one run of the load command."""
    workspace = Workspace(rig.workspace)
    known = json.loads(workspace.endpoints.read_text())["endpoints"]
    (variant,) = [item["id"] for item in known if item["protocol"] == protocol]
    words = ["--workspace", str(rig.workspace), "--config", str(rig.workspace / "models.toml"), "--plan", PLAN]
    output_of([sys.executable, "-m", "loadtest", *words, "--variant", variant, "--uncertified"], rig)
    results = (workspace.results / "latest").resolve()
    seen = read_model(results / f"server-stats-{variant}.json", Observation, "make loadtest").stages[-1]
    records = read_records(results, variant)
    intended, sent, done = (records.column(f"{name}_ns").to_numpy() for name in ("intended", "sent", "done"))
    inside = (intended >= seen.window_start_ns) & (intended < seen.window_end_ns)
    failed = [error for error in records.column("error").to_pylist() if error]
    if failed:
        raise ServerError(f"{len(failed)} requests failed, the first with '{failed[0]}'")
    return _percentiles((done - sent)[inside] / 1e6), _percentiles((done - intended)[inside] / 1e6)


def theirs(rig: Rig, protocol: str, rate: float) -> Figures:
    """perf_analyzer's own percentiles at an evenly spread rate."""
    load = ["--request-rate-range", f"{rate:g}:{rate:g}", "--request-distribution", "constant"]
    said = analyzed(rig, protocol, load)
    found = dict(re.findall(r"(p\d+) latency: (\d+) usec", said))
    if set(SHOWN) - found.keys():
        raise ServerError(f"perf_analyzer's output has no percentiles: {said[-300:]}")
    return {name: int(found[name]) / 1e3 for name in SHOWN}


def _percentiles(samples: Floats) -> Figures:
    ordered = np.sort(samples)
    return {name: order_statistic(ordered, p) for name, p in SHOWN.items()}


def show(name: str, rounds: list[Figures]) -> None:
    """One line for a person: median over the rounds, least to most."""
    parts = []
    for key in SHOWN:
        values = [found[key] for found in rounds]
        parts.append(f"{key} {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    print(f"{name:44}{', '.join(parts)}")


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.agreement", description="Our latencies beside perf_analyzer's.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--workspace", type=Path, help="where artifacts/ is; without it the model is made first")
    parser.add_argument("--perf-analyzer", type=Path, help="folder with perf_analyzer and libcudart below it")
    parser.add_argument("--protocol", choices=["http", "grpc"], default="http")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=float, default=9.0, help="seconds that each is measured in a round")
    options: argparse.Namespace = parser.parse_args(arguments)
    service: list[Figures] = []
    latency: list[Figures] = []
    peer: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        directory, manifest = prepare(options.config, options.workspace, work / "workspace")
        workspace = Workspace(work / "workspace")
        toml = workspace.root / "models.toml"
        toml.write_text(toml.read_text() + plan(options.rate, options.window))
        example = next(item for item in read_examples(directory / GOLDEN) if item.rows == 1)
        tensors = {name: array.tolist() for name, array in example.inputs.items()}
        with served(workspace) as endpoints:
            calls = only_one_request(workspace, endpoints)
            question = Question(endpoints[0].served_name, manifest.version, calls, tensors, 1)
            rig = Rig(question, work / "question.json", workspace.root, options.window, options.perf_analyzer)
            if how := without_perf_analyzer(rig):
                raise UsageError(f"perf_analyzer is absent: {how}")
            for number in range(options.rounds):
                for turn in (0, 1) if number % 2 else (1, 0):
                    if turn:
                        peer.append(theirs(rig, options.protocol, options.rate))
                    else:
                        own, from_intended = ours(rig, options.protocol)
                        service.append(own)
                        latency.append(from_intended)
                say(f"round {number + 1} of {options.rounds}")
    print(f"{options.protocol} at {options.rate:g} requests per second, evenly spread; milliseconds")
    named = {"ours, from the actual send": service, "perf_analyzer": peer, "ours, from the intended send": latency}
    for name, rounds in named.items():
        show(name, rounds)
    middle = {name: statistics.median(found[name] for found in service) for name in SHOWN}
    p50 = middle["p50"] / statistics.median(found["p50"] for found in peer)
    tails = [found["p99"] for found in peer]
    within = min(tails) <= middle["p99"] <= max(tails)
    print(f"p50 is {p50:.3f}x of perf_analyzer's (wanted 0.95 to 1.05x)")
    print(f"p99 {middle['p99']:.3f} ms lies {'within' if within else 'OUTSIDE'} what its own rounds differ by")
    print(
        json.dumps(
            {
                "protocol": options.protocol,
                "rate": options.rate,
                **named,
                "p50_ratio": round(p50, 4),
                "p99_within": within,
            }
        )
    )
    return 0


if __name__ == "__main__":
    run(main)
