"""Our load generator beside its peers: python -m bench.load [--rounds 10] [--perf-analyzer FOLDER] [--only …]

Everybody sends the same request, 16 at a time in a closed loop, to the same local Triton with one small text model, one
after the other, in rounds that each begin with another. Others send it to a server that does nothing
(`python -m loadtest.null.http`): what a client can do when nobody holds it up. Ratios are of figures from one round.
Peers that are not installed are named with how to get them. The model is taken from --workspace, where
`python -m export` left it; without one it is trained and exported first. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.generators.contenders import CONTENDERS, WANTED, WANTED_PER_CORE, Figure
from bench.generators.load import plan
from bench.generators.question import Call, Question
from bench.generators.rig import Rig
from bench.peers.figures import Ratio, Spread, judged, rotated, spread
from bench.peers.ours import not_up, serving
from bench.peers.running import ROOT
from bench.preparing import MODEL, one_row, prepare
from contract.cli import Parser, run
from contract.endpoints import Endpoint, Endpoints, PayloadIndex
from contract.errors import LoadproofError, ServerError
from contract.events import read_events
from contract.files import read_model, write_json
from contract.progress import say
from contract.records import answer_frame
from contract.workspace import Workspace
from loadtest.clients import connect

USERS = 16
Figures = dict[str, dict[int, Figure]]  # contender -> round -> figure


@contextmanager
def served(workspace: Workspace) -> Iterator[list[Endpoint]]:
    """Triton with the workspace's model; it ends with the block, and with this process. Raises ServerError."""
    with serving("python -m serving up", workspace, workspace.root / "serving.log") as server:
        server.wait(lambda: not_up(workspace))
        yield read_model(workspace.endpoints, Endpoints, "make serve").endpoints
        for event in read_events(workspace.events):
            say(f"the figures have a fault in them: {event.engine} {event.what}: {event.detail}")


def only_one_request(workspace: Workspace, endpoints: list[Endpoint]) -> dict[str, Call]:
    """The first golden request of one row, by protocol; the load command is left no other."""
    calls: dict[str, Call] = {}
    for item in endpoints:
        folder = workspace.live / item.payloads
        index = read_model(folder / "index.json", PayloadIndex, "make serve")
        chosen = next(entry for entry in index.payloads if entry.rows == 1)
        write_json(folder / "index.json", index.model_copy(update={"payloads": [chosen]}))
        body = base64.b64encode((folder / chosen.file).read_bytes()).decode()
        calls[item.protocol] = Call(item.address, index.target, chosen.headers, body)
    return calls


@contextmanager
def null_server(call: Call, work: Path) -> Iterator[Call]:
    """The server that answers at once as Triton answered once; the same call to it."""
    connection = connect("http", call.address, call.target, 1)
    reply = connection(call.data, call.headers)
    connection.close()
    if reply.error:
        raise ServerError(f"Triton does not answer: {reply.error} {reply.body[:200]!r}")
    answer = work / "answer.bin"
    answer.write_bytes(answer_frame(0, "golden", reply.headers, reply.body))
    command = [sys.executable, "-m", "loadtest.null.http", "--port", "0", "--answer", str(answer)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[-1])
            yield Call(f"127.0.0.1:{port}", call.target, call.headers, call.body)
        finally:
            process.terminate()


def measure(names: Sequence[str], rounds: int, rig: Rig) -> tuple[Figures, dict[str, str]]:
    """All rounds. Who fails is left out from then on, and named."""
    figures: Figures = defaultdict(dict)
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name in rotated(names, number):
            if name in failed:
                continue
            try:
                figure = figures[name][number] = CONTENDERS[name].run(rig)
                say(f"round {number + 1}: {name} {figure.rps:.0f} per second")
            except LoadproofError as error:
                failed[name] = str(error)
                say(f"{name} failed: {error}")
    return {name: found for name, found in figures.items() if name not in failed}, failed


def ratios(figures: Figures) -> list[Ratio]:
    """Ours over theirs, of rounds in which both were measured."""
    found = []
    for ours, theirs, wanted in WANTED:
        left, right = figures.get(ours, {}), figures.get(theirs, {})
        both = [left[number].rps / right[number].rps for number in sorted(left.keys() & right.keys())]
        if both:
            found.append(Ratio(USERS, ours, theirs, spread(both), wanted))
    return found


def per_core(figures: Figures) -> dict[str, Spread]:
    """Requests per second of the client's own CPU, of those who tell."""
    told = {name: [figure.rps_per_core for figure in found.values()] for name, found in figures.items()}
    return {name: spread([value for value in values if value]) for name, values in told.items() if any(values)}


def show(figures: Figures, compared: list[Ratio], cores: dict[str, Spread], absent: dict[str, str]) -> None:
    """Tables for a person."""
    print(f"requests per second at {USERS} users, median (least to most); per second of the client's own CPU")
    for name, found in figures.items():
        own = f", {cores[name].shown(0)} per core" if name in cores else ""
        least = f", wanted at least {WANTED_PER_CORE[name]:,.0f}" if name in WANTED_PER_CORE else ""
        print(f"{name:26} {spread([figure.rps for figure in found.values()]).shown(0)}{own}{least}")
    print("ratios within a round, median (least to most)")
    for ratio in compared:
        print(judged(ratio))
    for name, how in absent.items():
        print(f"{name} is absent: {how}")


def document(figures: Figures, compared: list[Ratio], cores: dict[str, Spread], rounds: int) -> dict[str, Any]:
    """What the last line says."""
    return {
        "model": MODEL,
        "users": USERS,
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "rps": {name: spread([figure.rps for figure in found.values()]).rounded(0) for name, found in figures.items()},
        "rps_per_client_core": {name: value.rounded(0) for name, value in cores.items()},
        "ratios": [
            {
                "ours": ratio.ours,
                "peer": ratio.peer,
                **ratio.spread.rounded(2),
                "wanted": ratio.wanted,
                "reached": ratio.reached,
            }
            for ratio in compared
        ],
    }


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.load", description="Our load generator beside its peers.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--workspace", type=Path, help="where artifacts/ is; without it the model is made first")
    parser.add_argument("--perf-analyzer", type=Path, help="folder with perf_analyzer and libcudart below it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=3.0, help="seconds that each is measured in a round")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), metavar="NAME", help=", ".join(CONTENDERS))
    options: argparse.Namespace = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        directory, manifest = prepare(options.config, options.workspace, work / "workspace")
        workspace = Workspace(work / "workspace")
        toml = workspace.root / "models.toml"
        toml.write_text(toml.read_text() + plan(USERS, options.window))
        tensors = {name: array.tolist() for name, array in one_row(directory).inputs.items()}
        with served(workspace) as endpoints:
            calls = only_one_request(workspace, endpoints)
            with null_server(calls["http"], work) as null:
                served_name = endpoints[0].served_name
                question = Question(served_name, manifest.version, {**calls, "http-null": null}, tensors, USERS)
                rig = Rig(question, work / "question.json", workspace.root, options.window, options.perf_analyzer)
                question.write(rig.file)
                asked = options.only or list(CONTENDERS)
                absent = {name: how for name in asked if (how := CONTENDERS[name].absent(rig))}
                figures, failed = measure([name for name in asked if name not in absent], options.rounds, rig)
    compared, cores = ratios(figures), per_core(figures)
    show(figures, compared, cores, absent)
    for name, why in failed.items():
        print(f"{name} failed: {why.splitlines()[0]}")
    print(json.dumps({**document(figures, compared, cores, options.rounds), "absent": absent, "failed": failed}))
    return ServerError.exit_code if failed else 0


if __name__ == "__main__":
    run(main)
