"""Do two generators see the same latency? python -m bench.agreement --perf-analyzer FOLDER [--work 0 5] [--rounds 5]

At an equal, evenly spread rate below saturation the load command and perf_analyzer ask the same Triton for the same, in
turns. perf_analyzer counts from when it turns to a request, not from a schedule, so it is compared with our service
time; our latency from the intended send stands beside it. What perf_analyzer's own rounds differ by (A/A) is how far
two measurements of the same lie apart here. With --work the model waits so many milliseconds before each answer: what a
client adds of its own is the same microseconds whatever the wait, and a disagreement about time itself would grow with
it. The means of both stand beside what Triton counted of their requests; with --wire (HTTP, root) the medians stand
beside what the kernel saw of them on loopback, so that the server is told from the client. bench/generators/sight.py
says what each of the two counts. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.agreeing import Seen, show
from bench.generators.perf_analyzer import analyzed, without_perf_analyzer
from bench.generators.question import Question
from bench.generators.rig import Rig, output_of
from bench.generators.sight import Sight, of_perf_analyzer, of_records
from bench.generators.waiting import instances, wait
from bench.generators.wire import Tap, opened
from bench.load import only_one_request, served
from bench.peers.figures import rotated
from bench.preparing import one_row, prepare
from contract.cli import Parser, run
from contract.errors import ServerError, UsageError
from contract.files import read_model
from contract.progress import say
from contract.records import Observation, read_records
from contract.workspace import Workspace

PLAN = "agreement"


def plan(rate: float, window_s: float) -> str:
    """The lines of models.toml that add the plan of one evenly spread open-loop stage."""
    stage = f'shape = "steady", arrivals = "constant", rate = {rate}, duration_s = {window_s}, warmup_s = 1'
    return f"plans = {{ {PLAN} = {{ rounds = 1, stages = [{{ {stage} }}] }} }}\n"


def ours(rig: Rig, protocol: str) -> Sight:
    """What one run of the load command saw."""
    workspace = Workspace(rig.workspace)
    known = json.loads(workspace.endpoints.read_text())["endpoints"]
    (variant,) = [item["id"] for item in known if item["protocol"] == protocol]
    words = ["--workspace", str(rig.workspace), "--config", str(rig.workspace / "models.toml"), "--plan", PLAN]
    output_of([sys.executable, "-m", "loadtest", *words, "--variant", variant, "--uncertified"], rig)
    results = (workspace.results / "latest").resolve()
    seen = read_model(results / f"server-stats-{variant}.json", Observation, "make loadtest").stages[-1]
    records = read_records(results, variant)
    names = ("intended", "sent", "first_byte", "done")
    intended, sent, first_byte, done = (records.column(f"{name}_ns").to_numpy() for name in names)
    inside = (intended >= seen.window_start_ns) & (intended < seen.window_end_ns)
    failed = [error for error in records.column("error").to_pylist() if error]
    if failed:
        raise ServerError(f"{len(failed)} requests failed, the first with '{failed[0]}'")
    return of_records(intended[inside], sent[inside], first_byte[inside], done[inside], seen.server)


def theirs(rig: Rig, protocol: str, rate: float) -> Sight:
    """What perf_analyzer says that it saw at an evenly spread rate."""
    load = ["--request-rate-range", f"{rate:g}:{rate:g}", "--request-distribution", "constant"]
    return of_perf_analyzer(analyzed(rig, protocol, load), protocol)


def heard(sight: Callable[[], Sight], port: int | None) -> Sight:
    """What a generator saw, with what went over the wire to that port meanwhile; None: nobody listens."""
    if port is None:
        return sight()
    with Tap(port) as tap:
        seen = sight()
    return replace(seen, wire=tap.wire())


def measure(seen: Seen, rig: Rig, protocol: str, rate: float, number: int, port: int | None = None) -> None:
    """One round; each begins with the other. Where one of them fails, nothing of it is kept (ServerError)."""
    asked: dict[str, Callable[[], Sight]] = {
        "perf_analyzer": lambda: theirs(rig, protocol, rate),
        "ours": lambda: ours(rig, protocol),
    }
    found = {name: heard(asked[name], port) for name in rotated(list(asked), number)}
    seen.ours.append(found["ours"])
    seen.peer.append(found["perf_analyzer"])


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
    parser.add_argument("--wire", action="store_true", help="listen on loopback to what they send; HTTP, root only")
    options: argparse.Namespace = parser.parse_args(arguments)
    if options.wire and options.protocol != "http":
        raise UsageError("--wire knows where a request begins over HTTP alone; leave it out, or --protocol grpc")
    if options.wire:
        opened().close()  # refuses before anything is started
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
            port = int(calls["http"].address.rpartition(":")[2]) if options.wire else None
            for number in range(options.rounds):
                for work_ms, pair in seen.items():
                    if work_ms is not None:
                        wait(workspace, endpoints[0], calls["http"].address, work_ms, options.rate)
                    try:
                        measure(pair, rig, options.protocol, options.rate, number, port)
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
