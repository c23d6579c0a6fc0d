"""What serving costs over the framework's own call: python -m bench.backends [--model NAME] [--rounds 3] [--quick]

One model, at 1, 8 and 32 rows, 1, 16 and 64 requests under way from a client in a process of its own, through
  onnxruntime, pytorch, tensorflow   our backends in Triton, over HTTP and gRPC
  embedded                           the embedded TF Serving, over gRPC and REST
Floor: the bare call with one thread in a process without a server. Beside onnxruntime stand two peers on Triton's
Python backend: `simple` loops over its requests, as most examples do; `empty` answers zeros and computes nothing, which
no backend in Python can undercut. One model is under load at a time, the others are loaded and idle; floor, ours and
peers take turns, and sampled answers are compared with the trained model's. Triton's own clocks split the latency into
queue, input, call and output; the rest is network, protocol, scheduling and the client, which shares the machine. The
model is taken from --workspace, where `python -m export` left it; without one it is made first. The last line is one
JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.hop.clocks import Split, between, counters
from bench.hop.floor import Floor
from bench.hop.repository import EMBEDDED, EMPTY, FORMATS, PEERS
from bench.hop.servers import Addresses, in_embedded, in_triton
from bench.peers import protocols
from bench.peers.asking import Question, answered_with_zeros, ask
from bench.peers.figures import rotated, spread
from bench.preparing import MODEL, one_row, prepare
from contract.cli import Parser, run
from contract.errors import ServerError
from contract.golden import Example
from contract.manifest import Manifest
from contract.progress import say
from contract.workspace import Workspace

BATCHES, USERS = (1, 8, 32), (1, 16, 64)
QUICK_USERS = (16,)
PROTOCOLS = {**dict.fromkeys(FORMATS, ("http", "grpc")), EMBEDDED: ("grpc", "rest")}
WARM_S = 0.3
PARTS = ("queue", "input", "call", "output", "rest")
RATIOS = ("of_bare", "call_over_floor", "over_simple", "over_empty")


@dataclass(frozen=True)
class Cell:
    """One point of the table: which backend, over which protocol, rows of a request, requests under way."""

    backend: str
    protocol: str
    rows: int
    users: int


@dataclass(frozen=True)
class Rig:
    """What is up, and what it is asked: a golden request of one row, repeated."""

    example: Example
    manifest: Manifest
    addresses: Addresses
    floors: dict[str, Floor]
    seconds: float


@dataclass(frozen=True)
class Measured:
    """One window: answers per second, the client's cores; the split is Triton's."""

    rps: float
    client_cores: float
    split: Split | None


def plan(quick: bool) -> list[Cell]:
    """Every point, or those at 16 users."""
    return [
        Cell(backend, protocol, rows, users)
        for backend, spoken in PROTOCOLS.items()
        for protocol in spoken
        for rows in BATCHES
        for users in (QUICK_USERS if quick else USERS)
    ]


def question(rig: Rig, name: str, rows: int) -> Question:
    """The golden request repeated to so many rows; `empty` is to answer zeros."""
    inputs = {key: np.repeat(array, rows, axis=0) for key, array in rig.example.inputs.items()}
    outputs = {key: np.repeat(array, rows, axis=0) for key, array in rig.example.outputs.items()}
    form = FORMATS.get(name, "savedmodel" if name == EMBEDDED else "onnx")
    asked = Question(Example(rig.example.key, inputs, outputs), rig.manifest.formats[form].tolerance)
    return answered_with_zeros(asked) if name == EMPTY else asked


def measure(rig: Rig, name: str, cell: Cell) -> Measured:
    """One window of one model on its server; Triton's clocks see the warm-up before it too.

    Raises ServerError where a request failed.
    """
    embedded = name == EMBEDDED
    speak = protocols.tfserving if embedded else protocols.triton
    protocol = speak(cell.protocol, name, 1, rig.manifest.outputs)
    triton_http = rig.addresses[False, "http"]
    before = None if embedded else counters(triton_http, name)
    asked = question(rig, name, cell.rows)
    window = ask(asked, protocol, rig.addresses[embedded, cell.protocol], cell.users, WARM_S, rig.seconds)
    if window.errors or not window.answers:
        raise ServerError(f"{name} over {cell.protocol}: {window.errors} requests failed: {window.first_error}")
    split = between(before, counters(triton_http, name)) if before else None
    return Measured(window.answers / window.seconds, window.cpu, split)


def once(rig: Rig, cell: Cell, turn: int) -> dict[str, float]:
    """The figures of one point in one round: ours, the floor, and the peers beside ONNX Runtime, which they run.

    Another one begins in each round: on a machine that is throttled, whoever comes first has the most of it.
    """
    names = [cell.backend, *PEERS] if cell.backend == "onnxruntime" else [cell.backend]
    took = {name: measure(rig, name, cell) for name in rotated(names, turn)}
    ours, floor = took[cell.backend], rig.floors["tensorflow" if cell.backend == EMBEDDED else cell.backend]
    bare_us = floor.us(cell.rows)
    latency_us = cell.users / ours.rps * 1e6  # each user waits for its answer and asks again at once
    found = {"rps": ours.rps, "client_cores": ours.client_cores, "bare_us": bare_us, "latency_us": latency_us}
    found["of_bare"] = ours.rps * bare_us / 1e6
    if ours.split:
        parts = {f"{part}_us": us for part, us in ours.split.us.items()}
        found |= {**parts, "rest_us": latency_us - sum(parts.values()), "rows_per_call": ours.split.rows_per_call}
        found["call_over_floor"] = parts["call_us"] / floor.us(ours.split.rows_per_call)
    return found | {f"over_{peer}": ours.rps / took[peer].rps for peer in PEERS if peer in took}


def summary(cell: Cell, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds, and how far the ratios lie apart."""
    spreads = {key: spread([found[key] for found in runs]) for key in runs[0]}
    ratios = {key: spreads[key].rounded(3) for key in RATIOS if key in spreads}
    return {**vars(cell), **{key: round(found.median, 3) for key, found in spreads.items()}, **ratios}


def show(found: Sequence[dict[str, Any]]) -> None:
    """The table for a person."""
    print(
        "of bare: rows per second over those of the bare call of as many rows; call/floor: Triton's clock of the call "
        "over the bare call of as many rows as the batcher joined; over simple, over empty: answers per second"
    )
    print(f"{'backend':12}{'':5}{'rows':>5}{'users':>6}{'per second':>11}{'of bare':>9}{'rows/call':>10}", end="")
    print(f"{'call/floor':>11}{'over simple':>12}{'over empty':>11}  mean latency")
    for row in found:
        ratios = {key: f"{row[key]['median']:.2f}x" if key in row else "-" for key in RATIOS}
        joined = f"{row['rows_per_call']:.1f}" if "rows_per_call" in row else "-"
        split = ", ".join(f"{part} {row[f'{part}_us']:.0f}" for part in PARTS if f"{part}_us" in row)
        print(
            f"{row['backend']:12}{row['protocol']:5}{row['rows']:5}{row['users']:6}{row['rps']:11.0f}"
            f"{ratios['of_bare']:>9}{joined:>10}{ratios['call_over_floor']:>11}{ratios['over_simple']:>12}"
            f"{ratios['over_empty']:>11}  {row['latency_us']:.0f} us{': ' * bool(split)}{split}"
        )


@contextmanager
def rigged(options: argparse.Namespace, work: Path) -> Iterator[Rig]:
    """Both servers and all floors, up with the model."""
    workspace, formats = Workspace(work / "workspace"), list(FORMATS.values())
    artifacts, manifest = prepare(options.config, options.workspace, workspace.root, options.model, formats)
    example, asked = one_row(artifacts), work / "question.npz"
    np.savez(asked, **example.inputs)
    files = {name: artifacts / str(manifest.formats[form].path) for name, form in FORMATS.items()}
    outputs = [spec.name for spec in manifest.outputs]
    with ExitStack() as up:
        floors = {name: up.enter_context(closing(Floor(name, file, asked, outputs))) for name, file in files.items()}
        for floor in floors.values():
            floor.open()
        addresses = up.enter_context(in_triton(workspace, artifacts, manifest))
        addresses |= up.enter_context(in_embedded(workspace, artifacts, manifest, example))
        yield Rig(example, manifest, addresses, floors, options.seconds)


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.backends", description="What serving costs over the framework's own call.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--workspace", type=Path, help="where artifacts/ is; without it the model is made first")
    parser.add_argument("--model", default=MODEL, help="its name in the configuration")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="at 16 users alone")
    options: argparse.Namespace = parser.parse_args(arguments)
    cells = plan(options.quick)
    runs: dict[Cell, list[dict[str, float]]] = {cell: [] for cell in cells}
    with (
        tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as work,
        rigged(options, Path(work)) as rig,
    ):
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}; load average {os.getloadavg()[0]:.1f}")
            for cell in cells:
                runs[cell].append(once(rig, cell, turn=number))
    found = [summary(cell, several) for cell, several in runs.items()]
    show(found)
    shapes = {name: list(array.shape[1:]) for name, array in rig.example.inputs.items()}
    document = {"model": options.model, "row": shapes, "rounds": options.rounds, "cores": len(os.sched_getaffinity(0))}
    print(json.dumps({**document, "loads": found}))
    return 0


if __name__ == "__main__":
    run(main)
