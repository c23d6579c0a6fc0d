"""Do two generators see the same latency? python -m bench.agreement --perf-analyzer FOLDER [--work 0 5] [--rounds 5]

At an equal, evenly spread rate below saturation the load command and perf_analyzer ask the same Triton for the same, in
turns. perf_analyzer counts from the actual send, so it is compared with our service time; our latency from the intended
send stands beside it. What perf_analyzer's own rounds differ by (A/A) is how far two measurements of the same lie apart
here. With --work the model waits so many milliseconds before each answer: what a client adds of its own is the same
microseconds whatever the wait, and a disagreement about time itself would grow with it. The last line is one JSON
document.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.generators.contenders import Rig, analyzed, output_of, without_perf_analyzer
from bench.generators.question import Question
from bench.generators.waiting import instances, wait
from bench.load import only_one_request, served
from bench.peers.figures import spread
from bench.preparing import one_row, prepare
from contract.cli import Parser, run
from contract.errors import ServerError, UsageError
from contract.files import read_model
from contract.progress import say
from contract.records import Observation, read_records
from contract.statistics import Floats, order_statistic
from contract.workspace import Workspace

PLAN = "agreement"
WANTED = 0.05  # how far the medians may lie apart
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


@dataclass
class Seen:
    """What both saw of one work, by round; milliseconds."""

    service: list[Figures] = field(default_factory=list)
    latency: list[Figures] = field(default_factory=list)
    peer: list[Figures] = field(default_factory=list)

    def measure(self, rig: Rig, protocol: str, rate: float, number: int) -> None:
        """One round; each begins with the other. Where one of them fails, nothing of it is kept (ServerError)."""
        peer: Figures = {}
        if number % 2 == 0:
            peer = theirs(rig, protocol, rate)
        service, latency = ours(rig, protocol)
        self.peer.append(peer or theirs(rig, protocol, rate))
        self.service.append(service)
        self.latency.append(latency)

    def judged(self) -> dict[str, Any]:
        """p50 beside perf_analyzer's, as a ratio of medians and as differences within a round; p99 beside its own."""
        tails, tail = [found["p99"] for found in self.peer], self._median(self.service, "p99")
        less_us = [(own["p50"] - other["p50"]) * 1e3 for own, other in zip(self.service, self.peer, strict=True)]
        ratio = self._median(self.service, "p50") / self._median(self.peer, "p50")
        return {
            "p50_ratio": round(ratio, 4),
            "p50_within": abs(ratio - 1) <= WANTED,
            "p50_difference_us": spread(less_us).rounded(1),
            "p99_ms": round(tail, 4),
            "p99_within": min(tails) <= tail <= max(tails),
        }

    @staticmethod
    def _median(rounds: list[Figures], key: str) -> float:
        return statistics.median(found[key] for found in rounds)


def show(work_ms: float | None, seen: Seen) -> dict[str, Any]:
    """The lines of one work for a person; returns what is in the document. None: the model as it is served."""
    print("the model as it is served" if work_ms is None else f"the model waits {work_ms:g} ms")
    named = {
        "ours, from the actual send": seen.service,
        "perf_analyzer": seen.peer,
        "ours, from the intended send": seen.latency,
    }
    for name, rounds in named.items():
        spreads = {key: spread([found[key] for found in rounds]).shown(3) for key in SHOWN}
        print(f"  {name:34}{', '.join(f'{key} {values}' for key, values in spreads.items())}")
    found = seen.judged()
    less = found["p50_difference_us"]
    reached = "reached" if found["p50_within"] else "MISSED"
    print(f"  p50 is {found['p50_ratio']:.3f}x of perf_analyzer's, wanted {1 - WANTED} to {1 + WANTED}: {reached}")
    print(f"  p50 less perf_analyzer's: {less['median']:.0f} us ({less['min']:.0f} to {less['max']:.0f})")
    where = "within" if found["p99_within"] else "OUTSIDE"
    print(f"  p99 {found['p99_ms']:.3f} ms lies {where} what perf_analyzer's own rounds differ by")
    return {"work_ms": work_ms, **found, **named}


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.agreement", description="Our latencies beside perf_analyzer's.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--workspace", type=Path, help="where artifacts/ is; without it the model is made first")
    parser.add_argument("--perf-analyzer", type=Path, help="folder with perf_analyzer and libcudart below it")
    parser.add_argument("--protocol", choices=["http", "grpc"], default="http")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=float, default=9.0, help="seconds that each is measured in a round")
    parser.add_argument("--work", type=float, nargs="+", metavar="MS", help="let the model wait; several take turns")
    options: argparse.Namespace = parser.parse_args(arguments)
    seen: dict[float | None, Seen] = {work_ms: Seen() for work_ms in options.work or [None]}
    failed: list[str] = []
    for work_ms in options.work or []:
        instances(work_ms, options.rate)  # refuses before anything is started
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        directory, manifest = prepare(options.config, options.workspace, work / "workspace")
        workspace = Workspace(work / "workspace")
        toml = workspace.root / "models.toml"
        toml.write_text(toml.read_text() + plan(options.rate, options.window))
        tensors = {name: array.tolist() for name, array in one_row(directory).inputs.items()}
        with served(workspace) as endpoints:
            calls = only_one_request(workspace, endpoints)
            question = Question(endpoints[0].served_name, manifest.version, calls, tensors, 1)
            rig = Rig(question, work / "question.json", workspace.root, options.window, options.perf_analyzer)
            if how := without_perf_analyzer(rig):
                raise UsageError(f"perf_analyzer is absent: {how}")
            for number in range(options.rounds):
                for work_ms, pair in seen.items():
                    if work_ms is not None:
                        wait(workspace, endpoints[0], calls["http"].address, work_ms, options.rate)
                    try:
                        pair.measure(rig, options.protocol, options.rate, number)
                    except ServerError as error:
                        failed.append(f"round {number + 1}, {work_ms or 0:g} ms: {error}")
                        say(failed[-1])
                say(f"round {number + 1} of {options.rounds}; load average {os.getloadavg()[0]:.1f}")
    print(f"{options.protocol} at {options.rate:g} requests per second, evenly spread; milliseconds")
    shown = [show(work_ms, pair) for work_ms, pair in seen.items() if pair.peer]
    document = {"protocol": options.protocol, "rate": options.rate, "rounds": options.rounds}
    print(json.dumps({**document, "works": shown, "failed": failed}))
    return ServerError.exit_code if failed else 0


if __name__ == "__main__":
    run(main)
