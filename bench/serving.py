"""Our Triton beside other Python servers, one ONNX model behind all: python -m bench.serving [--rounds 3] [--only …]

Peers and their settings: bench/peers/README.md. One server is up at a time; a client in a process of its own keeps 1,
16 and 64 requests under way over connections that stay open, and sampled answers are compared with the trained model's.
Each round begins with another server. ``--empty`` adds what no backend in Python can undercut: our Triton with one that
answers zeros and computes nothing. Floor: ONNX Runtime in a process without a server. The model is taken from
--workspace, where `python -m export` left it; without one it is trained and exported first. The last line is one JSON
document.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.hop.repository import EMPTY
from bench.peers import contenders, environments, figures, floor
from bench.peers.asking import Question, answered_with_zeros, ask
from bench.peers.contenders import OURS, PEERS, Stage
from bench.peers.figures import Ratio
from bench.peers.window import Window
from bench.preparing import MODEL, one_row, prepare
from contract.cli import Parser, run
from contract.errors import LoadproofError, ServerError, UsageError
from contract.manifest import Manifest
from contract.progress import say
from contract.workspace import Workspace

USERS = (1, 16, 64)
ASKED, ANSWERED = [("tokens", "int64", 2)], [("logits", "float32", 2)]  # what the peers' servers are written for
BARE = "onnxruntime"  # the floor's place in the rounds


@dataclass
class Results:
    """label -> users -> round -> window; batch -> rows per second of each round; who failed and why."""

    windows: dict[str, dict[int, dict[int, Window]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    floor: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)


def insist(model: str, manifest: Manifest) -> None:
    """Raise UsageError for a model that is not the one kind that the peers' servers are written for."""
    sides = [(manifest.inputs, ASKED), (manifest.outputs, ANSWERED)]
    for specs, wanted in sides:
        found = [(spec.name, spec.dtype, len(spec.dims)) for spec in specs]
        if found != wanted:
            raise UsageError(
                f"{model} has {found}, the peers' servers have {wanted} (name, dtype, axes); "
                "bench.backends measures any model"
            )


def measure(
    name: str, number: int, stage: Stage, question: Question, seconds: tuple[float, float], into: Results
) -> None:
    """Start one contender, ask it at every concurrency over every protocol, end it."""
    question = answered_with_zeros(question) if name == EMPTY else question
    started = contenders.start(name, stage)
    with started.server as server:

        def ready() -> str:
            endpoints = started.endpoints()
            for protocol, address in endpoints.values():
                window = ask(question, protocol, address, 1, 0.0, 0.05)
                if not window.answers:
                    return window.first_error or "no answer"
            return "" if endpoints else "it has no endpoint yet"

        server.wait(ready)
        for label, (protocol, address) in started.endpoints().items():
            for users in USERS:
                window = ask(question, protocol, address, users, *seconds)
                if not window.answers:
                    raise ServerError(f"{label} answered nothing: {window.first_error}\n{server.last_lines()}")
                into.windows[label][users][number] = window
                say(f"round {number + 1}: {label} at {users}: {window.answers / window.seconds:.0f} per second")


def measure_all(
    names: Sequence[str], rounds: int, stage: Stage, question: Question, seconds: tuple[float, float]
) -> Results:
    """All rounds. Who fails is left out from then on, and named."""
    results = Results()
    asked = stage.work / "question.npz"
    np.savez(asked, **question.example.inputs)
    for number in range(rounds):
        for name in figures.rotated([BARE, *names], number):
            if name in results.failed:
                continue
            if name == BARE:
                for batch, rate in floor.rows_per_second(stage.model, asked, seconds[1] / 3).items():
                    results.floor[batch].append(rate)
                continue
            try:
                measure(name, number, stage, question, seconds, results)
            except (LoadproofError, ConnectionError) as error:
                results.failed[name] = str(error)
                say(f"{name} failed: {error}")
    for name in results.failed:
        for label in [label for label in results.windows if label.split("/")[0] == name]:
            del results.windows[label]
    return results


def rates_of(results: Results) -> dict[str, dict[int, dict[int, float]]]:
    """label -> users -> round -> right answers per second."""
    return {
        label: {
            users: {number: window.answers / window.seconds for number, window in rounds.items()}
            for users, rounds in by_users.items()
        }
        for label, by_users in results.windows.items()
    }


def document(results: Results, ratios: list[Ratio], model: str, rounds: int) -> dict[str, Any]:
    """What the last line says."""
    rates = rates_of(results)
    servers: dict[str, Any] = {}
    for label, by_users in results.windows.items():
        servers[label] = {}
        for users, windows in by_users.items():
            several = list(windows.values())
            cpu = figures.spread([window.cpu for window in several])
            servers[label][users] = {
                "rps": figures.spread(list(rates[label][users].values())).rounded(0),
                "p50_ms": figures.spread([window.p50_ms for window in several]).rounded(2),
                "p99_ms": figures.spread([window.p99_ms for window in several]).rounded(2),
                "errors": sum(window.errors for window in several),
                "client_cores": cpu.rounded(2),
                "client_was_the_limit": cpu.median >= figures.BUSY,
            }
    return {
        "model": model,
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: environments.version(name, peer.package) for name, peer in PEERS.items()},
        "servers": servers,
        "floor_rows_per_s": {batch: figures.spread(values).rounded(0) for batch, values in results.floor.items()},
        "ratios": [
            {
                "users": ratio.users,
                "ours": ratio.ours,
                "peer": ratio.peer,
                **ratio.spread.rounded(2),
                "wanted": ratio.wanted,
                "reached": ratio.reached,
            }
            for ratio in ratios
        ],
        "failed": results.failed,
    }


def show(results: Results, ratios: list[Ratio], found: dict[str, Any]) -> None:
    """Tables for a person."""
    print(f"right answers per second, median of {found['rounds']} rounds (least to most); client: cores that it took")
    for label, by_users in found["servers"].items():
        for users, row in by_users.items():
            rps, cpu = row["rps"], row["client_cores"]["median"]
            notes = [f"p50 {row['p50_ms']['median']} ms, p99 {row['p99_ms']['median']} ms, client {cpu}"]
            notes += ["the client may be the limit"] if row["client_was_the_limit"] else []
            notes += [f"{row['errors']} errors"] if row["errors"] else []
            print(
                f"{label:18} {users:4}  {rps['median']:8.0f} ({rps['min']:.0f} to {rps['max']:.0f}), {', '.join(notes)}"
            )
    for batch, values in results.floor.items():
        print(f"ONNX Runtime alone, one thread, batch {batch:2}: {figures.spread(values).shown(0)} rows per second")
    print("ratios within a round, median (least to most)")
    for ratio in ratios:
        print(figures.judged(ratio))
    for name, why in results.failed.items():
        print(f"{name} failed: {why.splitlines()[0]}")


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.serving", description="Our Triton beside other Python servers.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--workspace", type=Path, help="where artifacts/ is; without it the model is made first")
    parser.add_argument("--model", default=MODEL, help="its name; the peers' servers take tokens and give logits")
    parser.add_argument("--cache", type=Path, default=Path(".cache/peers"), help="the peers' virtual environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PEERS), metavar="PEER", help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--empty", action="store_true", help="also our Triton with a backend that computes nothing")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of one window")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before it")
    options: argparse.Namespace = parser.parse_args(arguments)
    peers = [name for name in PEERS if not options.only or name in options.only]
    failed: dict[str, str] = {}
    for name in peers:
        try:
            environments.interpreter(name, options.cache.resolve())
        except LoadproofError as error:
            failed[name] = str(error)
            say(str(error))
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        directory, manifest = prepare(options.config, options.workspace, work / "workspace", options.model)
        insist(options.model, manifest)
        record = manifest.formats["onnx"]
        question = Question(one_row(directory), record.tolerance)
        workspace, model = Workspace(work / "workspace"), directory / str(record.path)
        stage = Stage(work, workspace, model, manifest, options.cache.resolve())
        names = [OURS, *(name for name in peers if name not in failed), *([EMPTY] if options.empty else [])]
        results = measure_all(names, options.rounds, stage, question, (options.warm_up, options.window))
    results.failed |= failed
    versus = {label: contenders.compared_with(label) for label in results.windows if label.split("/")[0] != OURS}
    ratios = figures.ratios(rates_of(results), versus, USERS)
    found = document(results, ratios, options.model, options.rounds)
    show(results, ratios, found)
    print(json.dumps(found))
    return ServerError.exit_code if results.failed else 0


if __name__ == "__main__":
    run(main)
